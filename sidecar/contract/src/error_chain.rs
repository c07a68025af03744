//! How errors are printed.

use std::error::Error;

/// An error with its causes, outermost first; a cause that the text already contains is not repeated (some libraries put
/// the cause into the message as well).
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::error_chain;
    use std::error::Error;
    use std::fmt;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    #[test]
    fn each_cause_is_printed_once() {
        let innermost = Layer("name not found", None);
        let repeated = Layer("connect: name not found", Some(Box::new(innermost)));
        let outermost = Layer("request failed", Some(Box::new(repeated)));
        assert_eq!(error_chain(&outermost), "request failed: connect: name not found");
        assert_eq!(error_chain(&Layer("alone", None)), "alone");
    }
}
