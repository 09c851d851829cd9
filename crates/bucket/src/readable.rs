//! Headers that are no text.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The name that metadata have which say what of an object could not be read: names of headers, with commas between.
///
/// Servers give out whatever was put in, such as names of files in raw UTF-8; OpenDAL takes ASCII alone: it fails on some headers, and
/// loses others without a word. So they are taken out of answers, and told of in this way.
pub const UNREADABLE: &str = "dumprestore-unreadable";

/// Takes what is no ASCII out, and says so among the user's metadata.
pub(crate) fn make_readable(headers: &mut HeaderMap) {
    let is_odd = |value: &HeaderValue| value.to_str().is_err();
    let odd: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| is_odd(value)).map(|(name, _)| name.clone()).collect();
    if odd.is_empty() {
        return;
    }
    odd.iter().for_each(|name| drop(headers.remove(name)));
    let names = odd.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(",");
    let name = HeaderName::try_from(format!("x-amz-meta-{UNREADABLE}"));
    if let (Ok(name), Ok(names)) = (name, HeaderValue::try_from(names)) {
        headers.insert(name, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ascii_is_taken_out_and_named() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        make_readable(&mut headers);
        assert_eq!(headers.len(), 1);
        headers.insert(
            "content-disposition",
            HeaderValue::from_bytes("inline; filename=\"ü\"".as_bytes()).unwrap(),
        );
        headers.insert("x-amz-meta-by", HeaderValue::from_bytes(b"\xff").unwrap());
        make_readable(&mut headers);
        assert_eq!(headers.len(), 2);
        let mut told: Vec<_> =
            headers["x-amz-meta-dumprestore-unreadable"].to_str().unwrap().split(',').collect();
        told.sort_unstable();
        assert_eq!(told, ["content-disposition", "x-amz-meta-by"]);
    }
}
