use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn rules() -> Vec<Rule> {
    let rule = |path, value: Option<&str>| Rule {
        path,
        value: value.map(str::to_owned),
    };
    vec![
        rule(&["a", "b"], None),
        rule(&["a", "c"], Some("[1,{\"x\":2}]")),
        rule(&["d"], None),
    ]
}

/// The same, with the document as a tree.
fn expected(mut document: Value) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.retain(|key, _| !key.eq_ignore_ascii_case("d"));
        for (key, value) in members {
            if let (true, Some(inner)) = (key.eq_ignore_ascii_case("a"), value.as_object_mut()) {
                inner.retain(|key, _| !key.eq_ignore_ascii_case("b"));
                for (key, value) in inner {
                    if key.eq_ignore_ascii_case("c") {
                        *value = json!([1, {"x": 2}]);
                    }
                }
            }
        }
    }
    document
}

fn rewritten(text: &[u8], piece: usize) -> Result<Vec<u8>, Malformed> {
    let mut rewriter = Rewriter::new(rules());
    let mut out = Vec::new();
    for piece in text.chunks(piece.max(1)) {
        rewriter.push(piece, &mut out)?;
        assert!(rewriter.key.len() <= KEY_LIMIT + 1, "a key is held");
    }
    rewriter.finish().map(|()| out)
}

#[track_caller]
fn check(text: &str) {
    for piece in [1, 2, 7, text.len()] {
        let out = rewritten(text.as_bytes(), piece).expect(text);
        let out: Value =
            serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)));
        assert_eq!(
            out,
            expected(serde_json::from_str(text).expect("JSON")),
            "{text} by {piece}"
        );
    }
}

#[test]
fn named_members_are_changed_wherever_they_stand_and_no_others() {
    for text in [
        "{}",
        " [ 1 , {\"d\":1} ] ",
        "7",
        "\"d\"",
        "null",
        r#"{"d":1}"#,
        r#"{"d":1,"e":2}"#,
        r#"{"e":2,"d":{"d":[1,"}"]}}"#,
        r#"{"e":2 , "d" : "x\"y" , "f":{"d":1,"b":2}}"#,
        r#"{"a":{"b":1,"c":2,"e":3}}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":{}}"#,
        r#"{"a":[{"b":1}]}"#,
        r#"{"a":"b","x":{"a":{"b":1}}}"#,
        r#"{"A":{"B":1,"C":null},"D":true}"#,
        r#"{"\u0061":{"\u0062":1,"\u0063":2}}"#,
        r#"{"a":{"c":{"deep":[{"b":"}]\\\""}]},"e":"b"}}"#,
        "{\n  \"a\": {\n    \"b\": -1.5e3,\n    \"e\": true\n  }\n}\n",
    ] {
        check(text);
    }
    let long = format!(
        r#"{{"{}":1,"d":2,"a":{{"{}\"":[2],"c":3}}}}"#,
        "k".repeat(1000),
        "\\\\".repeat(200)
    );
    check(&long);
}

#[test]
fn a_mark_at_the_beginning_is_no_harm() {
    let out = rewritten("\u{feff}{\"d\":1,\"e\":2}".as_bytes(), 1).expect("JSON");
    assert_eq!(out, b"{\"e\":2}");
}

#[test]
fn what_is_not_json_or_not_complete_is_not_passed_off_as_such() {
    for text in [
        "",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{a:1}",
        "{\"a\" 1}",
        "<html>",
        "{\"a\":}",
        "{}{}",
        "{}x",
    ] {
        assert_eq!(rewritten(text.as_bytes(), 1), Err(Malformed), "{text}");
    }
}

#[test]
fn what_is_not_changed_goes_on_as_it_comes() {
    let mut rewriter = Rewriter::new(rules());
    let mut out = Vec::new();
    rewriter.push(b"{\"big\":\"", &mut out).expect("JSON");
    for _ in 0..100 {
        out.clear();
        rewriter.push(&[b'x'; 1000], &mut out).expect("JSON");
        assert_eq!(out.len(), 1000);
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-d\"\\\\{}\\[\\],:ü ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-dA-D\"\\\\]{1,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_changed_as_its_tree_would_be(document in document(), piece in 1_usize..20, pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let out = rewritten(text.expect("JSON").as_bytes(), piece).expect("JSON");
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).expect("JSON"), expected(document));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![
        prop::sample::select(br#"{}[]",:\ad1 tn"#.to_vec()), any::<u8>(),
    ], 0..80), piece in 1_usize..9) {
        let _ = rewritten(&bytes, piece);
    }
}
