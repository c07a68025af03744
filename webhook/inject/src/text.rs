//! Messages for people: values quoted and cut, warnings within the API server's limits.

/// Longest value that is repeated in a message, in characters.
const VALUE_CHARS: usize = 80;
/// The API server cuts each warning at 256 bytes (kubernetes/apiserver `pkg/endpoints/handlers/responsewriters`,
/// `warning/context.go`).
const WARNING_BYTES: usize = 256;
/// And all warnings of a response at 4096 bytes.
const WARNINGS_BYTES: usize = 4096;

/// A value as it is repeated in a message: in quotes, control characters escaped, cut where it is long.
pub(crate) fn quote(value: &str) -> String {
    if value.chars().nth(VALUE_CHARS).is_none() {
        return format!("{value:?}");
    }
    let start: String = value.chars().take(VALUE_CHARS).collect();
    format!("{start:?}...")
}

/// Somebody else's message, cut where it is long.
pub(crate) fn foreign(text: &str) -> String {
    cut(text.trim_end_matches(['.', '\n']), 400)
}

/// Names as a list for a message; the first ten of them.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut words: Vec<String> = names.by_ref().take(10).map(quote).collect();
    if names.next().is_some() {
        words.push("and more".to_owned());
    }
    words.join(", ")
}

/// A text of at most so many bytes, which must be more than three.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(bytes - 3)])
}

/// Cuts every warning, and their number, to what the API server passes on.
pub(crate) fn bounded(warnings: Vec<String>) -> Vec<String> {
    let mut room = WARNINGS_BYTES;
    let mut kept = Vec::new();
    for warning in warnings {
        let warning = cut(&warning, WARNING_BYTES);
        if warning.len() > room {
            break;
        }
        room -= warning.len();
        kept.push(warning);
    }
    kept
}

/// The known name that `name` was probably meant to be: at most two letters differ.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance (Levenshtein), one row at a time.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_cut_at_a_character_and_says_so() {
        let warnings = bounded(vec!["é".repeat(200)]);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].len() <= WARNING_BYTES && warnings[0].ends_with("é..."),
            "{}",
            warnings[0]
        );
    }

    #[test]
    fn all_warnings_fit_together() {
        let warnings = bounded(vec!["x".repeat(300); 100]);
        assert_eq!(warnings.iter().map(String::len).sum::<usize>(), WARNINGS_BYTES);
    }

    #[test]
    fn a_typo_is_recognized() {
        assert_eq!(nearest("pol", ["url", "pool"]), Some("pool"));
        assert_eq!(
            nearest("grace-second", ["grace-seconds", "pool"]),
            Some("grace-seconds")
        );
        assert_eq!(nearest("token-window", ["grace-seconds", "pool"]), None);
    }

    #[test]
    fn a_long_value_is_cut_in_a_message() {
        assert_eq!(quote("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(quote(&"x".repeat(1000)).len(), VALUE_CHARS + 5);
    }
}
