//! The documents that are made from the table of variables say what it says. `UPDATE_DOCS=1 cargo test --test
//! documents` writes them anew.

#![expect(clippy::panic, reason = "helpers of tests")]

use std::path::Path;

use gpt_load::config::{Language, env_example, readme_table};

const BEGIN: &str = "<!-- configuration:begin -->";
const END: &str = "<!-- configuration:end -->";

/// Holds a document to what it should be, made from what it is.
fn hold(name: &str, right: impl FnOnce(&str) -> Option<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    let Some(right) = right(&is) else {
        panic!("{name} needs a line {BEGIN} and after it a line {END}");
    };
    if is == right {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, right).unwrap_or_else(|error| panic!("{name}: {error}"));
    } else {
        panic!("{name} is not what the table of variables says: UPDATE_DOCS=1 cargo test --test documents");
    }
}

fn with_table(readme: &str, language: Language) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", readme_table(language).trim_end()))
}

#[test]
fn the_example_of_dot_env_is_the_table_of_variables() {
    hold(".env.example", |_| Some(env_example()));
}

#[test]
fn the_readme_has_the_table_of_variables() {
    hold("README.md", |readme| with_table(readme, Language::English));
}

#[test]
fn the_chinese_readme_has_the_table_of_variables() {
    hold("README_CN.md", |readme| with_table(readme, Language::Chinese));
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    for folder in ["tests/hard", "tests/gpt_load"] {
        for file in root.join(folder).read_dir().into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            tests.extend(["file ", &file.file_name().to_string_lossy(), "\n", &text]);
        }
    }
    let model = std::fs::read_to_string(root.join("docs/threat-model.md")).unwrap_or_default();
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
    let mut named = 0;
    for code in model.split('`').skip(1).step_by(2) {
        let begun = code.strip_suffix('…');
        let name = begun.unwrap_or(code);
        let sought = match (name.strip_suffix(".rs"), begun) {
            (Some(_), _) => format!("file {name}\n"),
            (None, Some(_)) => format!("fn {name}"),
            (None, None) => format!("fn {name}()"),
        };
        let is_test =
            name.strip_suffix(".rs").is_some_and(is_name) || is_name(name) && name.matches('_').count() > 1;
        if is_test {
            named += 1;
            assert!(tests.contains(&sought), "docs/threat-model.md names {code}, which is no test");
        }
    }
    assert!(named > 50, "{named}");
}

#[test]
fn the_readmes_name_every_target_of_the_makefile() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let makefile = read("Makefile");
    let targets = makefile
        .lines()
        .filter(|line| line.contains(": ") && line.contains("## ") && !line.starts_with('\t'))
        .filter_map(|line| line.split_once(':'));
    let targets: Vec<_> = targets.map(|(target, _)| target).filter(|target| *target != "help").collect();
    assert!(targets.len() > 20, "{targets:?}");
    for readme in ["README.md", "README_CN.md"] {
        let text = read(readme);
        let missing: Vec<_> =
            targets.iter().filter(|target| !text.contains(&format!("`{target}`"))).collect();
        assert!(missing.is_empty(), "{readme} does not name {missing:?}");
    }
}

#[test]
fn the_tests_that_the_table_of_promises_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/reliability.md")).unwrap_or_default();
    let table =
        table.split("## ").find(|section| section.starts_with("What is promised")).unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let named: Vec<&str> = rows
        .filter_map(|row| row.rsplit_once(" | "))
        .flat_map(|(_, tests)| tests.split('`'))
        .filter(|name| name.contains('_'))
        .collect();
    assert!(named.len() > 50, "{named:?}");
    let mut sources = String::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if entry.is_dir() && !entry.ends_with("target") && !entry.ends_with("node_modules") {
                folders.push(entry);
            } else if entry.extension().is_some_and(|end| end == "rs") {
                sources.push_str(&std::fs::read_to_string(entry).unwrap_or_default());
            }
        }
    }
    let missing: Vec<&&str> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no test of such a name: {missing:?}");
}

#[test]
fn the_images_build_gets_all_that_the_sources_include() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let let_through = std::fs::read_to_string(root.join(".dockerignore")).unwrap_or_default();
    let let_through: Vec<_> =
        let_through.lines().filter_map(|line| Some(root.join(line.strip_prefix('!')?))).collect();
    let mut wanted = vec![root.join("build.rs"), root.join("Cargo.lock")];
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}")) {
            let path = entry.unwrap_or_else(|error| panic!("{error}")).path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let included =
                    text.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next());
                wanted.extend(included.filter_map(|name| path.parent()?.join(name).canonicalize().ok()));
            }
        }
    }
    assert!(wanted.len() > 5, "{wanted:?}");
    for file in wanted {
        assert!(
            let_through.iter().any(|through| file.starts_with(through)),
            "{} is left out",
            file.display()
        );
    }
}
