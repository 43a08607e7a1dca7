//! Keys that a message shows in part: whether one of them can't be the leased one. A relay that asks with a key of its own
//! passes on what its provider says of that.

use super::lease::Lease;

/// So much of a key has to be seen that is not the leased one's.
const ENOUGH: usize = 3;
/// How many stars or dots hide something: fewer are Markdown's, or end a sentence.
const HIDES: usize = 3;
/// What a key begins with that has no dash near its beginning, as a hash might have none.
const BEGINNINGS: [&str; 3] = ["AIza", "AKIA", "AQVN"];

/// How many letters before it a key is spoken of, and how, backwards.
const NEAR: usize = 24;
const KEYS: [&str; 4] = ["yek", "nekot", "钥", "牌令"];
/// What organisations, projects, users, accounts and requests are called.
const OTHERS: [&str; 8] = ["org", "proj", "user", "acc", "cus", "req", "team", "ws"];

impl Lease<'_> {
    /// Whether a message shows a part of a key that is another than this.
    #[cold]
    pub fn is_other_than_shown(&self, message: &str) -> bool {
        shows_another(self.expose(), message)
    }
}

/// What is hidden whole, shown where nobody would look for it, or a hash, shows no other.
fn shows_another(leased: &str, message: &str) -> bool {
    let mut rest = message;
    while let Some(at) = rest.find(is_mask) {
        let (before, from) = rest.split_at_checked(at).unwrap_or_default();
        let behind = from.trim_start_matches(is_mask);
        let mask = from.strip_suffix(behind).unwrap_or_default();
        let head = before.rsplit(|letter| !is_of_key(letter)).next().unwrap_or_default();
        let tail = behind.split(|letter| !is_of_key(letter)).next().unwrap_or_default();
        // Some hide with letters, too.
        let (head, tail) = (head.trim_end_matches(is_x), tail.trim_start_matches(is_x));
        let is_shown_as_key = if head.is_empty() { speaks_of_key(before) } else { !is_of_other(head) };
        if is_shown_as_key && hides(mask, head, tail) && contradicts(leased, head, tail) {
            return true;
        }
        rest = behind;
    }
    false
}

/// Whether a key was spoken of right before: cards and telephones are hidden, too.
fn speaks_of_key(before: &str) -> bool {
    let near: String = before.chars().rev().take(NEAR).collect();
    KEYS.iter().any(|word| near.to_ascii_lowercase().contains(word))
}

/// Whether it begins as what is no key does.
fn is_of_other(head: &str) -> bool {
    OTHERS.iter().any(|other| head.starts_with(other))
}

fn is_mask(letter: char) -> bool {
    matches!(letter, '*' | '•' | '.' | '…')
}

fn is_x(letter: char) -> bool {
    matches!(letter, 'x' | 'X')
}

fn is_of_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

fn hides(mask: &str, head: &str, tail: &str) -> bool {
    let is_long = mask.contains('…') || mask.chars().count() >= HIDES;
    // Dots between words are a pause.
    let is_sure = mask.contains(['*', '•']) || !head.is_empty() && !tail.is_empty();
    is_long && is_sure
}

fn contradicts(leased: &str, head: &str, tail: &str) -> bool {
    let own = leased.as_bytes();
    let is_same = |(shown, own): &(&u8, &u8)| shown.eq_ignore_ascii_case(own);
    let common = head.as_bytes().iter().zip(own).take_while(is_same).count();
    let common_end = tail.as_bytes().iter().rev().zip(own.iter().rev()).take_while(is_same).count();
    let is_like_a_key = head.is_empty()
        || common > 1
        || head.contains(['-', '_'])
        || BEGINNINGS.iter().any(|beginning| head.starts_with(beginning));
    // "sk-***" is how any key of a provider looks.
    let is_any = head.ends_with(['-', '_']) && tail.is_empty();
    let unlike = |part: &str, common: usize| {
        // Some show other parts than the ends.
        let is_own = own.windows(part.len().max(1)).any(|own| own.eq_ignore_ascii_case(part.as_bytes()));
        if is_own { 0 } else { part.len() - common }
    };
    is_like_a_key && !is_any && unlike(head, common) + unlike(tail, common_end) >= ENOUGH
}

#[cfg(all(test, not(feature = "loom")))]
#[allow(clippy::string_slice, reason = "a test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASED: &str = "sk-proj-Ab3dEf6hIj9kLm2nOp5q1234";

    #[test]
    fn a_part_of_another_key_is_told_from_one_of_the_leased() {
        for (message, want) in [
            ("Incorrect API key provided: sk-upst***1234. You can find yours at https://x.example", true),
            ("Incorrect API key provided: sk-proj-****abcd.", true),
            ("Incorrect API key provided: sk-ab***yz.", true),
            ("Received API Key = sk-...x1Zg, Key Hash (Token) =88dc", true),
            ("Key sk-or-v1…9f2 is dead", true),
            ("Your api key: ****abcd is invalid", true),
            ("AIzaSyDX***************************58Jc", true),
            ("sk-upst••••", true),
            // The leased one, however it is hidden.
            ("Incorrect API key provided: sk-proj-****1234.", false),
            ("Incorrect API key provided: sk-proj-Ab3d********************1234", false),
            ("Incorrect API key provided: sk-p***q1234", false),
            ("Received API Key = sk-...1234", false),
            ("Your api key: ****1234 is invalid", false),
            ("Your api key: SK-PROJ-***", false),
            ("It ends with ***Op5q1234, we hid sk-proj-Ab3dEf***", false),
            ("1234****: no such key", false),
            ("kLm2***: no such key", false),
            // What tells nothing.
            ("Incorrect API key provided: ********************************", false),
            ("Incorrect API key provided: ****...", false),
            ("Keys look like sk-***, xai-*** or gsk_****", false),
            ("sk-ab***", false),
            ("The organization org-AbCdEf...xYz9 has been disabled", false),
            ("Card ****4242 was declined", false),
            ("sk-xxxxxxxx, sk-proj-xxxx1234 or sk-proj-xxxxxxxx...1234", false),
            ("a1b2c3d4e5****99ff: no key has this hash", false),
            ("Please wait... then try again. Or *not*, or **never**", false),
            ("1...2 and 3", false),
            ("", false),
        ] {
            assert_eq!(shows_another(LEASED, message), want, "{message}");
        }
    }

    proptest! {
        #[test]
        fn the_leased_key_is_never_taken_for_another(
            key in "(sk-|sk-proj-|AIza|xai-|gsk_|)[A-Za-z0-9_-]{16,40}",
            head in 0..12_usize,
            tail in 0..8_usize,
            mask in "[*]{3,30}|•{3,9}|…|[.]{3}|[*]{3}[.]{3}|[xX]{3,9}|x{4}[.]{3}x{4}|#{4}|[*]{3}x{3}",
            before in "(key: |'|\"|=|\\()?",
        ) {
            let message = format!("Bad {before}{}{mask}{}. See it.", &key[..head], &key[key.len() - tail..]);
            prop_assert!(!shows_another(&key, &message), "{key} {message}");
        }

        #[test]
        fn any_text_is_read(key in ".{0,40}", text in "[a-z0-9*.…•é \u{4e00}-]{0,60}") {
            shows_another(&key, &text);
        }
    }
}
