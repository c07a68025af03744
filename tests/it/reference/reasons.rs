//! Every reason is explained where its readers look for it.

use super::{anchors, read};
use cli::problem::{FAMILIES, Word, anchor};
use contract::Reason;
use std::collections::BTreeSet;
use tests::programs::repository;

/// The words that only commands of the operator's program have.
fn own() -> impl Iterator<Item = &'static Word> {
    FAMILIES.iter().flat_map(|family| family.own)
}

#[test]
fn a_word_stands_for_one_thing() {
    let words: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .chain(own().map(|word| word.word))
        .collect();
    let known: BTreeSet<_> = words.iter().copied().collect();
    let twice = words
        .iter()
        .filter(|word| words.iter().filter(|other| other == word).count() > 1);
    assert_eq!(known.len(), words.len(), "{:?}", twice.collect::<BTreeSet<_>>());
    for family in FAMILIES {
        for word in family.shared {
            assert!(known.contains(word.word), "{}: no list declares it", word.word);
        }
    }
}

#[test]
fn pages_say_what_to_do_about_every_reason() {
    let page = read("docs/troubleshooting.md");
    for reason in Reason::ALL {
        is_explained(reason.as_str(), &page, "docs/troubleshooting.md");
    }
    for family in FAMILIES {
        let section = section(family.section);
        for word in family.own {
            is_explained(word.word, &section, family.section);
        }
    }
    let own: BTreeSet<&str> = own().map(|word| word.word).collect();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let word = row.split('`').nth(1).expect("the row starts with a word");
        assert!(
            Reason::parse(word).is_some() || own.contains(word),
            "docs/troubleshooting.md explains {word}, which is no reason"
        );
    }
}

/// The text has a row for the word, whose last cell says what to do.
fn is_explained(word: &str, text: &str, place: &str) {
    let row = text.lines().find(|line| line.starts_with(&format!("| `{word}` |")));
    let row = row.unwrap_or_else(|| panic!("{place} has no row for {word}"));
    let advice = row
        .trim_end_matches('|')
        .rsplit(" | ")
        .next()
        .unwrap_or_default()
        .trim();
    assert!(advice.len() > 14, "{word}: {advice:?} tells nobody what to do");
}

/// What stands below a heading, up to the next one.
fn section(link: &str) -> String {
    let (path, anchor) = link.split_once('#').expect("a link names a section");
    let page = read(&format!("docs/{path}"));
    let below = |line: &&str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") != anchor;
    let text = page.lines().skip_while(below).skip(1);
    text.take_while(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_the_operators_program_refers_to_is_there() {
    let families = FAMILIES
        .iter()
        .flat_map(|family| family.own.iter().chain(family.shared));
    let sections = FAMILIES.iter().map(|family| family.section);
    let shared = Reason::ALL.iter().map(|reason| anchor(*reason));
    for link in families.map(|word| word.anchor).chain(sections).chain(shared) {
        let (path, anchor) = link.split_once('#').expect("a link names a section");
        assert!(
            anchors(&repository().join("docs").join(path)).contains(anchor),
            "{link}"
        );
    }
    // And it is the section that has the word's row.
    for reason in Reason::ALL {
        is_explained(reason.as_str(), &section(anchor(*reason)), anchor(*reason));
    }
}
