//! The page about the emulators says what the code says.

use azure_emulators::assumptions::table;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/emulators.md");
const BEGIN: &str = "<!-- assumptions -->\n";
const END: &str = "<!-- end of assumptions -->";

#[test]
fn the_assumptions_are_what_the_code_says() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (_, tail) = rest.split_once(END).expect("the table has an end");
    let rendered = format!("{head}{BEGIN}\n{}\n{END}{tail}", table());
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(PAGE, &rendered).unwrap();
        return;
    }
    assert!(
        page == rendered,
        "docs/emulators.md is out of date: UPDATE_GOLDENS=1 cargo test -p azure-emulators assumptions"
    );
}

#[test]
fn the_page_names_every_fault() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    // The list of variants as serde knows it, from its own complaint.
    let complaint = serde_json::from_str::<azure_emulators::faults::Fault>(r#"{"fault": "?"}"#)
        .unwrap_err()
        .to_string();
    let names: Vec<&str> = complaint.split('`').skip(3).step_by(2).collect();
    assert!(names.len() > 20, "{complaint}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
