//! A key or token that can't be printed. The one place that decides how much of a secret may be shown.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// A key, token or password. It has no `Display`, its `Debug` shows nothing, and it does not serialise: what
/// may be shown of it is its [`preview`](Secret::preview). Its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a secret as it was read.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What people may see of it (spec §1): the first 8 and last 4 characters, or `****` where that would be
    /// (nearly) all of it.
    pub fn preview(&self) -> String {
        preview(&self.0)
    }

    /// Compares in a time that depends on the candidate's length alone.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(****)")
    }
}

/// [`Secret::preview`] for a secret that is stored elsewhere.
pub(crate) fn preview(secret: &str) -> String {
    if let (Some(head), Some(tail)) = (secret.get(..8), secret.get(secret.len().saturating_sub(4)..))
        && secret.is_ascii()
        && secret.len() > 12
    {
        let mut preview = String::with_capacity(head.len() + 3 + tail.len());
        for part in [head, "...", tail] {
            preview.push_str(part);
        }
        return preview;
    }
    let characters = secret.chars().count();
    if characters <= 12 {
        return "****".to_owned();
    }
    let head: String = secret.chars().take(8).collect();
    let tail: String = secret.chars().skip(characters - 4).collect();
    format!("{head}...{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_shows_eight_and_four_characters_and_nothing_of_a_short_key() {
        for (secret, want) in [
            ("sk-1234567890abcdef", "sk-12345...cdef"),
            ("1234567890123", "12345678...0123"),
            ("123456789012", "****"),
            ("", "****"),
            ("ключ-ключ-ключ", "ключ-клю...ключ"),
        ] {
            assert_eq!(Secret::new(secret).preview(), want);
        }
    }

    /// Does not compile if the type has the trait: then there are two ways to read `some`.
    macro_rules! never {
        ($type:ty: $($trait:path),+) => {$(const _: fn() = || {
            trait Either<A> {
                fn some() {}
            }
            struct Has;
            impl<T: ?Sized> Either<()> for T {}
            impl<T: ?Sized + $trait> Either<Has> for T {}
            let _: fn() = <$type as Either<_>>::some;
        };)+};
    }

    never!(Secret: fmt::Display, serde::Serialize, Copy, AsRef<str>, std::ops::Deref);
    never!(crate::keys::file::KeyTable: fmt::Display, serde::Serialize, Clone);
    never!(crate::keys::file::KeyFile: fmt::Display, serde::Serialize, Clone);
    never!(crate::keys::KeyPool: fmt::Display, fmt::Debug, serde::Serialize, Clone);
    never!(crate::keys::Lease<'static>: fmt::Display, fmt::Debug, serde::Serialize, Clone);
    never!(crate::keys::Hider: fmt::Display, fmt::Debug, serde::Serialize, Clone);
    never!(crate::proxy::credentials::Tokens: fmt::Display, serde::Serialize);
    never!(crate::config::Config: fmt::Display, serde::Serialize);

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk-live-very-secret")), "Secret(****)");
    }

    #[test]
    fn only_the_same_bytes_match() {
        let token = Secret::new("token");
        assert!(token.matches(b"token"));
        assert!(!token.matches(b"tokem"));
        assert!(!token.matches(b"token "));
        assert!(!token.matches(b""));
    }
}
