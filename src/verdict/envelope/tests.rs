use super::*;

#[test]
fn a_line_has_so_many_letters_and_single_spaces() {
    for (text, longest, want) in [
        (" a \n\t b\u{1} c ", 9, "a b c"),
        ("abc def", 3, "abc"),
        ("abc def", 4, "abc "),
        ("abc def", 5, "abc d"),
        ("余额不足，请充值", 3, "余额不"),
        ("a余额 不足", 4, "a余额 "),
        ("", 3, ""),
    ] {
        assert_eq!(one_line(text, longest), want, "{text:?}");
    }
}

#[test]
fn a_page_begins_within_the_first_characters_of_a_text() {
    for (text, want) in [
        ("<HTML>".to_owned(), true),
        ("502: <!DocType html>".to_owned(), true),
        (format!("{}<html", "é".repeat(507)), true),
        (format!("{}<html", "é".repeat(508)), false),
        ("<h1>no".to_owned(), false),
    ] {
        assert_eq!(is_page(&text), want, "{text}");
    }
}

#[test]
fn an_event_is_read_from_its_data() {
    let long = format!("event: {}\ndata: no", "e".repeat(64));
    for (text, want) in [
        ("data: no", Some(" no")),
        ("event: error\ndata: no", Some(" no")),
        ("event: error data: no", None),
        ("some data: no", None),
        (&*long, None),
    ] {
        assert_eq!(event_data(text), want, "{text}");
    }
}
