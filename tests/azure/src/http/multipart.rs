//! Bodies of the type `multipart/form-data` (RFC 7578), as curl's `--form` sends them.

/// The fields of a body; files are left out. `None` where the type names no boundary or the body is not of this form.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut parameters = content_type.split(';');
    let is_form = parameters.next()?.trim().eq_ignore_ascii_case("multipart/form-data");
    let boundary = parameters
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches('"'))
        .filter(|boundary| is_form && !boundary.is_empty())?;
    let body = std::str::from_utf8(body).ok()?;
    // The first delimiter has no line before it.
    let body = format!("\r\n{body}");
    let delimiter = format!("\r\n--{boundary}");
    let mut parts = body.split(&delimiter);
    parts.next()?;
    let mut fields = Vec::new();
    for part in parts {
        if part.starts_with("--") {
            return Some(fields);
        }
        let (head, value) = part.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        let parameter = |wanted: &str| {
            let mut parameters = disposition.split(';').filter_map(|part| part.trim().split_once('='));
            let (_, value) = parameters.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            Some(value.trim_matches('"').to_owned())
        };
        if parameter("filename").is_none() {
            fields.push((parameter("name")?, value.to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn fields_are_read_and_files_left_out() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n\
                    --x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\nno\r\n\
                    --x\r\ncontent-disposition: form-data; name=b\r\n\r\n\r\n--x--\r\n";
        let expected = vec![("a".to_owned(), "1\r\n2".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(
            fields("multipart/form-data; boundary=x", body.as_bytes()),
            Some(expected)
        );
    }

    #[test]
    fn what_is_cut_off_or_of_another_type_has_none() {
        let cut = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1";
        for content_type in [
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "application/json",
        ] {
            assert_eq!(fields(content_type, cut.as_bytes()), None, "{content_type}");
        }
    }
}
