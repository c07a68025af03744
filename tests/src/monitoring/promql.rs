//! As much of PromQL as is needed to know which metrics and labels a query names. Whether it means something, `promtool` says.

/// What a query names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Metrics, each with its matchers.
    pub selectors: Vec<Selector>,
    /// Labels in `by`, `on` and similar clauses.
    pub labels: Vec<String>,
}

/// A metric and what its labels have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Its name.
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

/// Operators, aggregations that stand before `by`, and modifiers that take no labels.
const WORDS: [&str; 17] = [
    "and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "group", "topk", "bottomk",
    "quantile", "stddev", "inf", "nan",
];
/// They take a list of labels.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// What a query names.
pub fn names(query: &str) -> Names {
    let mut names = Names::default();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            rest = after_text(rest).1;
        } else if first == '[' {
            rest = rest.split_once(']').map_or("", |(_, rest)| rest);
        } else if first == '{' {
            let (matchers, after) = matchers(&rest[1..]);
            rest = after;
            if let Some(selector) = names.selectors.last_mut() {
                selector.matchers = matchers;
            }
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '.');
        } else if is_of_name(first) {
            let end = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let next = after.trim_start();
            rest = after;
            if GROUPINGS.contains(&word) {
                let list = next.strip_prefix('(').and_then(|list| list.split_once(')'));
                let (list, after) = list.unwrap_or(("", next));
                names.labels.extend(
                    list.split(',')
                        .map(|label| label.trim().to_owned())
                        .filter(|label| !label.is_empty()),
                );
                rest = after;
            } else if !next.starts_with('(') && !WORDS.contains(&word) {
                names.selectors.push(Selector {
                    metric: word.to_owned(),
                    matchers: Vec::new(),
                });
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

/// The text within quotes, and what follows.
fn after_text(quoted: &str) -> (String, &str) {
    let quote = quoted.chars().next().unwrap_or('"');
    let mut text = String::new();
    let mut letters = quoted.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return (text, &quoted[at + 1..]);
        }
        if letter == '\\' {
            text.extend(letters.next().map(|(_, letter)| letter));
        } else {
            text.push(letter);
        }
    }
    (text, "")
}

fn matchers(mut rest: &str) -> (Vec<(String, String, String)>, &str) {
    let mut matchers = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',', '\n']);
        if rest.is_empty() {
            return (matchers, "");
        }
        if let Some(after) = rest.strip_prefix('}') {
            return (matchers, after);
        }
        let end = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
        let (label, after) = rest.split_at(end);
        let quote = after.find(['"', '\'']).unwrap_or(after.len());
        let (operator, quoted) = after.split_at(quote);
        let (value, after) = after_text(quoted);
        matchers.push((label.to_owned(), operator.trim().to_owned(), value));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_and_labels_are_found_and_nothing_else() {
        let query = r#"label_replace(histogram_quantile(0.95, sum by (le) (rate(a_bucket{x="y",z=~"$z, {"}[5m]))) > 1e3, "cause", "(b)", "", "")
            unless on (pool) max(c) offset 5m or time() - 15"#;
        let found = names(query);
        let metrics: Vec<_> = found
            .selectors
            .iter()
            .map(|selector| selector.metric.as_str())
            .collect();
        assert_eq!(metrics, ["a_bucket", "c"]);
        assert_eq!(found.labels, ["le", "pool"]);
        let matchers = &found.selectors[0].matchers;
        assert_eq!(matchers[0], ("x".into(), "=".into(), "y".into()));
        assert_eq!(matchers[1], ("z".into(), "=~".into(), "$z, {".into()));
    }
}
