use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const AGENT: Keep = Keep::Object(&[
    ("id", Keep::Scalar),
    ("name", Keep::Scalar),
    ("assignedRequest", Keep::Object(&[])),
    (
        "systemCapabilities",
        Keep::Object(&[("ADO_AGENT_OWNER", Keep::Foreign)]),
    ),
]);
const LIST: Keep = Keep::Object(&[("count", Keep::Scalar), ("value", Keep::Each(&AGENT))]);

/// What is kept of a text that comes in pieces of this size: the elements, and the document.
fn sieved(keep: &'static Keep, text: &[u8], piece: usize) -> Result<(Vec<Value>, Value), Malformed> {
    let mut sieve = Sieve::new(keep);
    let mut elements = Vec::new();
    for piece in text.chunks(piece) {
        sieve.push(piece, &mut |element| match serde_json::from_slice(element) {
            Ok(element) => {
                elements.push(element);
                true
            }
            Err(_) => false,
        })?;
    }
    let document = sieve.finish()?;
    let document = serde_json::from_slice(&document).map_err(|_| Malformed)?;
    Ok((elements, document))
}

/// The same from the whole tree.
fn pruned(keep: &Keep, value: &Value, elements: &mut Vec<Value>) -> Result<Value, Malformed> {
    Ok(match (keep, value) {
        (Keep::Object(members), Value::Object(object)) => {
            let mut kept = serde_json::Map::new();
            for (name, keep) in *members {
                if let Some(value) = object.get(*name) {
                    kept.insert((*name).to_owned(), pruned(keep, value, elements)?);
                }
            }
            Value::Object(kept)
        }
        (Keep::Each(of), Value::Array(array)) => {
            for value in array {
                let element = pruned(of, value, &mut Vec::new())?;
                elements.push(element);
            }
            json!([])
        }
        (_, Value::Object(_) | Value::Array(_)) => Value::Null,
        (keep, Value::String(text)) if serde_json::to_string(text).expect("text").len() > TEXT_LIMIT => match keep {
            Keep::Foreign => json!(""),
            Keep::Scalar | Keep::Object(_) | Keep::Each(_) => return Err(Malformed),
        },
        (_, scalar) => scalar.clone(),
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ".{0,12}",
        2 => prop::sample::select(vec!["\"", "\\", "\\\"", "]}", "\u{0}\n", "\u{1f600}", "id\":1,\"name"]).prop_map(str::to_owned),
        1 => (TEXT_LIMIT - 20..TEXT_LIMIT + 20).prop_map(|length| "x".repeat(length)),
        1 => (TEXT_LIMIT / 2 - 20..TEXT_LIMIT / 2 + 20).prop_map(|length| "\"".repeat(length)),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "id", "name", "assignedRequest", "systemCapabilities", "ADO_AGENT_OWNER", "value", "count", "Id", "",
        ]).prop_map(str::to_owned),
        2 => text(),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_keeps_what_a_full_parser_would(value in any_json(), list in any::<bool>(), pretty in any::<bool>(), piece in 1_usize..70) {
        let value = if list { json!({"count": 1, "value": [value], "x": 2}) } else { value };
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.expect("JSON");
        // Numbers may lose a digit on the way to the text.
        let value = serde_json::from_slice(&text).expect("JSON");
        for keep in [&LIST, &AGENT, &Keep::Scalar] {
            let mut elements = Vec::new();
            let kept = pruned(keep, &value, &mut elements).map(|document| (elements, document));
            prop_assert_eq!(sieved(keep, &text, piece), kept);
        }
    }

    #[test]
    fn what_is_cut_off_is_malformed(value in any_json(), cut in any::<prop::sample::Index>()) {
        let text = json!({"value": [value]}).to_string().into_bytes();
        let cut = cut.index(text.len());
        prop_assert_eq!(sieved(&LIST, &text[..cut], 7), Err(Malformed));
    }

    #[test]
    fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..9) {
        let _ = sieved(&LIST, &bytes, piece);
    }

    #[test]
    fn anything_like_json_is_read_without_a_panic(text in "[\\[\\]{}:,\"\\\\ a0-]{0,60}", piece in 1_usize..9) {
        let _ = sieved(&LIST, text.as_bytes(), piece);
        let _ = sieved(&LIST, format!("{{\"value\":[{text}").as_bytes(), piece);
    }
}

#[test]
fn a_key_may_be_escaped_and_may_be_any_length() {
    let escaped: String = "ADO_AGENT_OWNER"
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let long = "k".repeat(1 << 20);
    let text = format!(r#"{{"{long}": 1, "systemCapabilities": {{"{long}": "x", "{escaped}": "me", "\\\"": 2}}}}"#);
    let kept = json!({"systemCapabilities": {"ADO_AGENT_OWNER": "me"}});
    assert_eq!(sieved(&AGENT, text.as_bytes(), 1000), Ok((vec![], kept)));
}

#[test]
fn invalid_json_is_malformed() {
    for text in [
        "",
        " ",
        "<html>",
        "{",
        "[",
        "]",
        "{]",
        "{\"a\"}",
        "{\"id\":}",
        "{\"id\":1,}",
        "{,}",
        "{} {}",
        "{}x",
        "\"",
        "\u{feff}{}",
        "{\"value\":[{},]}",
        "{\"value\":[{}}",
        "{\"value\" [}",
        "{id:1}",
        "{\"id\":1 \"name\":2}",
        "{\"count\":truex,\"id\":truex}",
    ] {
        assert_eq!(sieved(&LIST, text.as_bytes(), 3), Err(Malformed), "{text}");
    }
}

/// The most that is held while so much is read.
fn peak(keep: &'static Keep, begin: &str, filler: &[u8], times: usize) -> usize {
    let mut sieve = Sieve::new(keep);
    let mut peak = 0;
    sieve.push(begin.as_bytes(), &mut |_| true).expect("it begins well");
    for _ in 0..times {
        if sieve.push(filler, &mut |_| true).is_err() {
            break;
        }
        peak = peak.max(sieve.document.capacity() + sieve.key.capacity() + sieve.open.capacity() * 32);
    }
    peak
}

#[test]
fn memory_is_bounded_for_any_response() {
    let brackets = vec![b'['; 4096];
    let braces = "{\"a\":".repeat(1000);
    let letters = vec![b'x'; 4096];
    let capability = "\"K\":\"".to_owned() + &"v".repeat(1000) + "\",";
    let many_ids = "\"id\":1234567890,".repeat(100);
    for (begin, filler) in [
        ("{\"junk\":[", brackets.as_slice()),
        ("{\"value\":[", brackets.as_slice()),
        ("{\"value\":[{\"x\":", braces.as_bytes()),
        ("{\"value\":[{\"name\":\"", letters.as_slice()),
        ("{\"value\":[{\"", letters.as_slice()),
        ("{\"value\":[{\"systemCapabilities\":{", capability.as_bytes()),
        (
            "{\"value\":[{\"systemCapabilities\":{\"ADO_AGENT_OWNER\":\"",
            letters.as_slice(),
        ),
        ("{\"value\":[{", many_ids.as_bytes()),
        ("{\"value\":[", b"{\"id\":1},"),
        ("{\"value\":[{\"id\":", b"1234567890"),
        ("", b"                "),
    ] {
        let held = peak(&LIST, begin, filler, 1_000);
        assert!(
            held < 4 * DOCUMENT_LIMIT,
            "{held} bytes are held of {begin}{}...",
            String::from_utf8_lossy(&filler[..8])
        );
    }
}
