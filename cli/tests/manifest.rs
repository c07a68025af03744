//! How manifests are read and written.

use cli::manifest::{Document, Format, documents, joined};
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

fn read(text: &str) -> Vec<Document> {
    documents("agents.yaml", text).unwrap_or_else(|broken| panic!("{broken}\n{text}"))
}

fn unchanged(documents: &[Document]) -> String {
    joined(
        documents
            .iter()
            .map(|document| (document, document.with(&document.value))),
    )
}

const STREAM: &str = "\
# who may change this: nobody
---
# first
kind: A   # a comment
spec: {b: 1, a: [x,  y]}
---

---
kind: B
spec:
  text: |
    one
    --- not a separator
  mode: 0440
  flag: yes
  quoted: \"yes\"
--- # the last
kind: C
";

#[test]
fn a_stream_is_kept_as_it_is() {
    let documents = read(STREAM);
    assert_eq!(documents.len(), 5);
    assert_eq!(unchanged(&documents), STREAM);
    let kinds: Vec<_> = documents
        .iter()
        .map(|document| document.value["kind"].clone())
        .collect();
    assert_eq!(kinds, [Value::Null, json!("A"), Value::Null, json!("B"), json!("C")]);
    assert_eq!(documents[1].first_line(), 4);
    assert_eq!(documents[3].first_line(), 9);
}

#[test]
fn numbers_and_flags_are_read_as_kubectl_reads_them() {
    let value = &read(STREAM)[3].value["spec"];
    assert_eq!(
        *value,
        json!({"text": "one\n--- not a separator\n", "mode": 288, "flag": true, "quoted": "yes"})
    );
}

#[test]
fn a_changed_document_keeps_its_order_and_the_others_their_text() {
    let documents = read(STREAM);
    let mut changed = documents[3].value.clone();
    changed["metadata"] = json!({"name": "b"});
    changed["spec"]["list"] = json!([{"value": "no", "name": "n"}, "012", "1e3", "null", ""]);
    let text = joined(documents.iter().enumerate().map(|(position, document)| {
        let value = if position == 3 { &changed } else { &document.value };
        (document, document.with(value))
    }));
    let expected = STREAM.replace(
        &documents[3].text,
        "\
---
kind: B
metadata:
  name: b
spec:
  text: |
    one
    --- not a separator
  mode: 288
  flag: true
  quoted: 'yes'
  list:
  - name: 'n'
    value: 'no'
  - '012'
  - '1e3'
  - 'null'
  - ''
",
    );
    assert_eq!(text.replace('"', "'"), expected);
}

#[test]
fn json_stays_json() {
    let text = "{\"kind\": \"A\",\n \"b\": 1}\n{\"kind\": \"B\"}\n";
    let documents = documents("a.json", text).expect("JSON");
    assert_eq!(documents.len(), 2);
    assert!(documents.iter().all(|document| document.format == Format::Json));
    assert_eq!(unchanged(&documents), text);
    let changed = json!({"b": 2, "kind": "A"});
    assert_eq!(documents[0].with(&changed), "{\n  \"kind\": \"A\",\n  \"b\": 2\n}\n");
}

#[test]
fn documents_of_two_files_are_separated() {
    let first = documents("a.yaml", "kind: A").expect("YAML");
    let second = documents("b.yaml", "kind: B\n").expect("YAML");
    let both: Vec<Document> = first.into_iter().chain(second).collect();
    assert_eq!(unchanged(&both), "kind: A\n---\nkind: B\n");
}

#[test]
fn what_cannot_be_read_is_named_with_its_place_in_the_file() {
    for (text, line) in [
        ("kind: A\n---\nkind: B\nspec: [\n", 4),
        ("a: 1\nb: 2\n---\na: 1\na: 2\n", 5),
        ("---\nkind: A\n  indented: wrong\n", 3),
        ("{\"kind\": \"A\"\n", 1),
    ] {
        let broken = documents("agents.yaml", text).expect_err("it is broken");
        // What has no end is missed where it begins, or on the line after the last.
        assert!([line, line + 1].contains(&broken.line), "{broken}");
        let said = broken.to_string();
        assert!(said.starts_with(&format!("agents.yaml:{}:", broken.line)), "{said}");
        assert!(said.contains("correct the manifest there"), "{said}");
        assert!(!said.contains(" at line "), "{said}");
    }
}

/// Texts that are something else in YAML, or hard to write in it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "[a-z:#&*!|>'\"%@`{}\\[\\], \n\t-]{0,12}",
        prop::sample::select(vec![
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "null",
            "~",
            "true",
            "0440",
            "0x1f",
            "1e3",
            ".inf",
            "1_000",
            "2026-11-29",
            "---",
            "...",
            "- a",
            "a: b",
            "a #b",
            " a",
            "a ",
            "",
            "=",
            "<<",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "12:30:45",
            "+1",
            "0o17",
            "\n",
            "\n\n",
            " \n a",
            "a\n\n",
            "\ta\n",
        ])
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in value()) {
        let document = &read("kind: A\n")[0];
        let text = document.with(&json!({"kind": "A", "value": value}));
        let again = read(&text);
        prop_assert_eq!(again.len(), 1, "{}", text);
        prop_assert_eq!(&again[0].value["value"], &value, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_is_kept(parts in prop::collection::vec(text(), 0..6)) {
        let text = parts.join("\n---\n") + "\n";
        if let Ok(documents) = documents("a.yaml", &text) {
            prop_assert_eq!(unchanged(&documents), text);
        }
    }
}
