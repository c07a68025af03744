//! `$(NAME)` in values, as Kubernetes expands it (kubernetes/kubernetes `third_party/forked/golang/expansion/expand.go`):
//! `$$` is a plain `$`, an unclosed parenthesis is text.

use std::iter;

/// The references in a value, each with the position of its `$`.
pub(super) fn references(value: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    iter::from_fn(move || {
        loop {
            at += value.get(at..)?.find('$')?;
            let start = at;
            match value.as_bytes().get(start + 1) {
                Some(b'$') => at = start + 2,
                Some(b'(') => {
                    // Without a parenthesis here there is none further on, either.
                    let Some(length) = value[start + 2..].find(')') else {
                        at = value.len();
                        return None;
                    };
                    at = start + 2 + length + 1;
                    return Some((start, &value[start + 2..at - 1]));
                }
                Some(_) | None => at = start + 1,
            }
        }
    })
}

/// What becomes of a reference in a copy of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// It stays: the container of the copy finds what the container of the value finds.
    Kept,
    /// Its name gets the prefix.
    Prefixed,
    /// It stays the text that it is in the container of the value.
    Escaped,
}

/// The value with other references.
pub(super) fn rewritten<'v>(value: &'v str, prefix: &str, mut decide: impl FnMut(&'v str) -> Reference) -> String {
    let mut copy = String::with_capacity(value.len() + prefix.len());
    let mut done = 0;
    for (start, name) in references(value) {
        copy.push_str(&value[done..start]);
        done = start;
        match decide(name) {
            Reference::Kept => {}
            Reference::Escaped => copy.push('$'),
            Reference::Prefixed => {
                copy.push_str("$(");
                copy.push_str(prefix);
                done = start + "$(".len();
            }
        }
    }
    copy.push_str(&value[done..]);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_var::escape;

    fn names(value: &str) -> Vec<&str> {
        references(value).map(|(_, name)| name).collect()
    }

    #[test]
    fn references_are_found_as_kubernetes_finds_them() {
        assert_eq!(names("a$(B)c$(D)"), ["B", "D"]);
        assert_eq!(names("$$(B) $$$(C) $( $d $"), ["C"]);
        assert_eq!(names("$()é$é$(É)"), ["", "É"]);
        assert_eq!(names("$($(A)$"), ["$(A"]);
        assert_eq!(names(&escape("$(A) $ $$ $$(B)")), [""; 0]);
    }

    #[test]
    fn only_what_is_decided_changes() {
        let value = "é$$(A)$(A)$x$(B)$(C)-$(A)$(";
        let copy = rewritten(value, "P_", |name| match name {
            "A" => Reference::Prefixed,
            "B" => Reference::Escaped,
            _ => Reference::Kept,
        });
        assert_eq!(copy, "é$$(A)$(P_A)$x$$(B)$(C)-$(P_A)$(");
    }
}
