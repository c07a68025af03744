//! Released names: each is still there. `tests/it/reference/names.txt` holds them, with the release that brought them.

use std::collections::BTreeSet;
use tests::programs::repository;
use tests::reference::render;

const FILE: &str = "tests/it/reference/names.txt";
const HEAD: &str = "\
# Names that a release of this version or an earlier one has: labels, annotations, settings, variables, metrics, reasons, objects, paths.
# None is ever taken away (docs/support.md). Before a release, add those that are new: UPDATE_GOLDENS=1 cargo test -p tests --test reference
";

/// What the reference has in the first column of its tables. That is where a name stands that a person may type or meet; a setting has
/// its variable in the second.
fn current() -> BTreeSet<String> {
    let page = render();
    let mut names = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        for cell in row.split('|').skip(1).take(2) {
            let cell = cell.trim();
            let is_name = cell.starts_with('`') && cell.ends_with('`') && !cell[1..cell.len() - 1].contains('`');
            if is_name {
                names.insert(without_value(cell.trim_matches('`')).to_owned());
            }
        }
    }
    names
}

/// A flag without its short form, and without the word for its value, which may change.
fn without_value(name: &str) -> &str {
    match name.find("--") {
        Some(start) if name.starts_with('-') => name[start..].split(' ').next().unwrap_or_default(),
        _ => name,
    }
}

#[test]
fn a_released_name_is_still_there() {
    let current = current();
    assert!(current.len() > 150, "{}", current.len());
    let file = repository().join(FILE);
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let released: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        let all: Vec<&str> = released.union(&current).map(String::as_str).collect();
        std::fs::write(&file, format!("{HEAD}{}\n", all.join("\n"))).expect("the file is writable");
    }
    let gone: Vec<_> = released.difference(&current).collect();
    assert!(
        gone.is_empty(),
        "{FILE} has names that the code has no more, and a released name stays: {gone:?}"
    );
    assert!(
        released.len() > 150 || std::env::var_os("UPDATE_GOLDENS").is_some(),
        "{FILE} is not there"
    );
}
