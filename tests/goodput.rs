//! How the bench of goodput judges whether a healthy key could have cured what a client was told.

use std::time::Duration;

use self::curable::{Reading, Window, Word, is_curable, is_healthy};

#[path = "../benches/goodput/curable.rs"]
mod curable;
#[path = "../benches/goodput/stalls.rs"]
mod stalls;

const GRAIN: Duration = ms(25);
const DEAREST: u32 = 80;
const BLIND: Reading = Reading { cost: |_| DEAREST, is_whole: false };
const LETTER: Reading = Reading { is_whole: true, ..BLIND };
const KNOWING: Reading = Reading { cost: |tokens| tokens, ..BLIND };

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A request from `asked` to `told`, after which so many requests and tokens were left of 3 and 400; each window is whole
/// 1,000 ms after the request came.
fn word(asked: u64, told: u64, left: [u32; 2]) -> Word {
    let window = |limit, left| Window { limit, left, whole_in: ms(1000) };
    let windows = Some([window(3, left[0]), window(400, left[1])]);
    Word { asked: ms(asked), told: ms(told), tokens: 50, windows, retry_after: None }
}

fn healthy(words: &[Word], at: u64) -> bool {
    is_healthy(words, ms(at), 50, BLIND)
}

fn curable(keys: &[&[Word]], end: u64) -> bool {
    is_curable(keys.iter().copied(), (ms(end).saturating_sub(GRAIN), ms(end)), 50, BLIND)
}

#[test]
fn a_key_is_healthy_while_its_provider_says_that_something_is_left() {
    assert!(healthy(&[], 500), "never asked");
    let left = [word(0, 100, [1, 300])];
    assert!(!healthy(&left, 50), "nothing is known before its first answer");
    assert!(healthy(&left, 100) && healthy(&left, 900));
    let no_requests = [word(0, 100, [0, 300])];
    assert!(!healthy(&no_requests, 500) && !healthy(&no_requests, 999));
    let few_tokens = [word(0, 100, [2, 79])];
    assert!(!healthy(&few_tokens, 500));
    assert!(is_healthy(&few_tokens, ms(500), 79, KNOWING), "enough, for who knows the cost");
    assert!(!is_healthy(&few_tokens, ms(500), 80, KNOWING));
}

#[test]
fn requests_under_way_are_taken_from_what_is_left() {
    let words = [word(0, 100, [2, 300]), word(200, 300, [1, 250]), word(210, 310, [0, 200])];
    assert!(healthy(&words, 205), "one of two");
    assert!(!healthy(&words, 250), "both of two");
    let tokens = [word(0, 100, [2, 159]), word(200, 300, [1, 109])];
    assert!(healthy(&tokens, 150) && !healthy(&tokens, 250), "it may cost 80");
    assert!(is_healthy(&tokens, ms(250), 80, KNOWING), "it costs 50");
}

#[test]
fn a_key_is_healthy_once_the_named_moment_is_past() {
    let spent = [word(0, 100, [0, 10])];
    assert!(!healthy(&spent, 999) && healthy(&spent, 1000), "counted from when the provider counted");
    let back = [spent[0], word(1010, 1110, [2, 350]), word(1020, 1120, [1, 300]), word(1030, 1130, [0, 250])];
    assert!(!healthy(&back, 1015), "good for one until that is answered");
    assert!(
        is_healthy(&back, ms(1025), 50, LETTER),
        "whole, to the letter: three, of which two are under way"
    );
    assert!(!is_healthy(&back, ms(1035), 50, LETTER));
    let refused = |left, wait| [Word { retry_after: Some(ms(wait)), ..word(0, 5, left) }];
    assert!(!healthy(&refused([1, 300], 400), 399) && healthy(&refused([1, 300], 400), 400));
    assert!(!healthy(&refused([0, 300], 400), 400), "the last of the named moments counts");
}

#[test]
fn a_fault_of_the_providers_own_says_nothing_of_the_key() {
    let fault = Word { windows: None, ..word(200, 300, [0, 0]) };
    let words = [word(0, 100, [1, 300]), fault];
    assert!(!healthy(&words, 250), "it is under way");
    assert!(healthy(&words, 300), "what was left before is left again");
    assert!(!healthy(&[word(0, 100, [0, 300]), fault], 300));
}

#[test]
fn an_older_answer_that_comes_late_is_not_the_last_word() {
    let words = [word(0, 300, [2, 300]), word(10, 110, [0, 250])];
    assert!(!healthy(&words, 400));
}

#[test]
fn a_refusal_is_curable_if_one_key_was_healthy_all_the_while() {
    let spent = [word(0, 100, [0, 300])];
    let idle = [word(0, 100, [1, 300])];
    assert!(curable(&[&spent, &idle], 500));
    assert!(!curable(&[&spent], 500));
    assert!(!curable(&[&spent], 1010), "it came back just before: too late to be used");
    assert!(curable(&[&spent], 1025), "nobody took it up");
    let taken = [word(0, 100, [1, 300]), word(490, 590, [0, 250])];
    assert!(!curable(&[&taken], 500), "somebody else was given it meanwhile");
    let passed_on = [word(0, 470, [0, 300])];
    let came_free = [word(0, 490, [2, 300])];
    assert!(!curable(&[&passed_on, &came_free], 500), "no key was healthy for so long");
}

#[test]
fn a_machine_that_stands_still_does_not_run() {
    let three = [(ms(50), ms(10)), (ms(130), ms(30)), (ms(200), ms(8))];
    let since = |end| stalls::since(&three, ms(end), GRAIN);
    assert_eq!(since(90), ms(65), "no stall");
    assert_eq!(since(60), ms(25), "15 ms before it and 10 after");
    assert_eq!(since(155), ms(130), "it ran for all that time");
    assert_eq!(since(140), ms(85), "30 ms do not count");
    assert_eq!(since(120), ms(75), "20 of them");
    assert_eq!(since(130), ms(75), "the moment in which it goes on");
    assert_eq!(since(210), ms(177));
    assert_eq!(since(5), ms(0));
    let two = [(ms(60), ms(10)), (ms(80), ms(10))];
    assert_eq!(stalls::since(&two, ms(85), GRAIN), ms(40), "5, 10 and 10 ms, and two stalls");
    assert_eq!(stalls::stood(&two, ms(70)), [ms(10), ms(10)]);
}
