use std::collections::HashSet;

use super::*;

#[test]
fn every_row_has_a_name_of_its_own_a_source_and_words_in_lower_case() {
    let mut names = HashSet::new();
    for row in TABLE.iter().flat_map(|rows| rows.iter()).chain([&FOR_NOW, &UPSTREAM, &REQUEST]) {
        assert!(names.insert(row.id), "{} is there twice", row.id);
        assert!(!row.source.is_empty(), "{}", row.id);
        for test in row.tests {
            if let Test::CodeWith(words) | Test::CodeLike(words) | Test::Says(words) | Test::Names(words) =
                test
            {
                assert!(words.iter().all(|word| word.len() > 3), "{}: too short to mean anything", row.id);
            }
            let words: &[&[&str]] = match test {
                Test::Code(words)
                | Test::CodeWith(words)
                | Test::NoCodeWith(words)
                | Test::CodeLike(words)
                | Test::Says(words)
                | Test::Names(words)
                | Test::OfModel(words)
                | Test::ModelBehind(words)
                | Test::Silent(words) => &[words],
                Test::Then(first, second) | Test::Of(first, second) => &[first, second],
                _ => &[],
            };
            assert!(words.concat().iter().all(|word| word.to_lowercase() == **word), "{}", row.id);
        }
    }
}

#[test]
fn what_is_about_a_model_is_about_a_key() {
    for row in TABLE.iter().flat_map(|rows| rows.iter()) {
        assert!(row.scope != Scope::KeyAndModel || row.verdict != Verdict::UpstreamFault, "{}", row.id);
        assert!(!row.barred || row.verdict == Verdict::UpstreamFault, "{}", row.id);
        assert!(row.until.is_none() || row.verdict == Verdict::KeyExhausted, "{}", row.id);
    }
}

#[test]
fn an_answer_is_held_against_all_rows_of_its_status_and_no_others() {
    let ids = |status| rows_of(status).iter().map(|held| held.row.id).collect::<Vec<_>>();
    for status in [IN_STREAM, 400, 401, 429, 432, 500, 529, 999] {
        let tells_status = |row: &&Row| {
            row.tests.iter().all(|test| !matches!(test, Test::Status(all) if !is_among(status, all)))
        };
        assert!(rows_of(status).iter().all(|held| tells_status(&held.row)));
        // What no status is asked of, nor any word.
        let all = TABLE.iter().flat_map(|rows| rows.iter()).filter(tells_status);
        let of_all = all.filter(|row| row.verdict == Verdict::UpstreamFault && !row.rests_on_words());
        let of_all: Vec<_> = of_all.map(|row| row.id).collect();
        let kept: Vec<_> = ids(status).into_iter().filter(|id| of_all.contains(id)).collect();
        assert_eq!(kept, of_all, "in the table's order");
    }
    for (id, status, want) in [
        ("status.401", 401, true),
        ("status.401", 403, false),
        ("told.key", 401, true),
        ("told.key", 429, false),
        ("told.limit_as_failure", 529, true),
        ("told.spent", 432, true),
        ("told.spent", 404, false),
    ] {
        assert_eq!(ids(status).contains(&id), want, "{id} {status}");
    }
}
