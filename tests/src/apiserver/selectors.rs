//! Label selectors (`metav1.LabelSelector`), as the API server evaluates them before it calls a webhook.

use serde_json::Value;

/// Whether labels (an object of strings, or null) match a selector. An empty or absent selector matches everything.
pub fn matches(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == value.as_str());
    let expressions = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|expression| {
            let value = label(expression["key"].as_str().unwrap_or_default());
            let is_listed = || {
                let values = expression["values"].as_array().into_iter().flatten();
                value.is_some_and(|value| values.into_iter().any(|listed| listed == value))
            };
            match expression["operator"].as_str() {
                Some("In") => is_listed(),
                Some("NotIn") => !is_listed(),
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                // The API server would not have stored such a configuration.
                Some(_) | None => panic!("no selector: {expression}"),
            }
        });
    equal && expressions
}

#[cfg(test)]
mod tests {
    use super::matches;
    use serde_json::json;

    #[test]
    fn every_operator() {
        let labels = json!({"a": "1"});
        assert!(matches(&json!(null), &labels) && matches(&json!({}), &json!(null)));
        assert!(matches(&json!({"matchLabels": {"a": "1"}}), &labels));
        assert!(!matches(&json!({"matchLabels": {"a": "2"}}), &labels));
        for (operator, key, values, expected) in [
            ("In", "a", json!(["1", "2"]), true),
            ("In", "b", json!(["1"]), false),
            ("NotIn", "a", json!(["1"]), false),
            ("NotIn", "b", json!(["1"]), true),
            ("Exists", "a", json!(null), true),
            ("DoesNotExist", "a", json!(null), false),
        ] {
            let selector = json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
            assert_eq!(matches(&selector, &labels), expected, "{selector}");
        }
    }
}
