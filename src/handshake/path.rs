//! One normal form for paths (RFC 3986 6.2.2): what is matched is what is forwarded, so that no two programs can see
//! two different paths in one request.

/// Why a path has no normal form that every server would read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathProblem {
    /// It does not begin with a slash.
    NotAbsolute,
    /// `%` without two hex digits.
    BadEscape,
    /// An escaped slash, backslash or control character: some servers decode it before they route, some after.
    Ambiguous,
    /// `..` above the root.
    AboveRoot,
}

impl PathProblem {
    pub const fn problem(self) -> &'static str {
        match self {
            PathProblem::NotAbsolute => "the path does not begin with a slash",
            PathProblem::BadEscape => "a % in the path without two hex digits behind it",
            PathProblem::Ambiguous => "an encoded slash, a backslash or a control character in the path",
            PathProblem::AboveRoot => "the path climbs above its root",
        }
    }
}

/// Dot segments resolved, repeated slashes merged, needless escapes decoded, needed ones in upper case. Normalising
/// twice changes nothing.
pub fn normalise(path: &str) -> Result<String, PathProblem> {
    if !path.starts_with('/') {
        return Err(PathProblem::NotAbsolute);
    }
    if is_normal(path) {
        return Ok(path.to_string());
    }
    normalise_slowly(path)
}

fn normalise_slowly(path: &str) -> Result<String, PathProblem> {
    let decoded = decode_needless(path)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in decoded.split('/').skip(1) {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop().ok_or(PathProblem::AboveRoot)?;
            }
            _ => segments.push(segment),
        }
    }
    let mut normal = String::with_capacity(decoded.len());
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if ends_in_slash || normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

/// Whether it clearly is: nothing in it that could need a change, as in nearly all paths there are.
fn is_normal(path: &str) -> bool {
    let mut last = b' ';
    path.bytes().all(|byte| {
        let before = std::mem::replace(&mut last, byte);
        match byte {
            b'%' | b'\\' | 0..=0x1F | 0x7F => false,
            b'/' | b'.' => before != b'/',
            _ => true,
        }
    })
}

fn decode_needless(path: &str) -> Result<String, PathProblem> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.chars();
    while let Some(char) = rest.next() {
        match char {
            '%' => {
                let digits = rest.as_str().get(..2).ok_or(PathProblem::BadEscape)?;
                let sound = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte =
                    u8::from_str_radix(digits, 16).ok().filter(|_| sound).ok_or(PathProblem::BadEscape)?;
                rest.nth(1);
                match byte {
                    b'/' | b'\\' | 0..=0x1F | 0x7F => return Err(PathProblem::Ambiguous),
                    // The unreserved characters of RFC 3986 2.3 mean the same with and without their escape.
                    b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                        out.push(char::from(byte));
                    }
                    _ => {
                        out.push('%');
                        out.push_str(&digits.to_ascii_uppercase());
                    }
                }
            }
            '\\' | '\0'..='\x1F' | '\x7F' => return Err(PathProblem::Ambiguous),
            _ => out.push(char),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_form_for_every_spelling() {
        let table = [
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/a/b/", Ok("/a/b/")),
            ("/a/../b", Ok("/b")),
            ("/a/./b", Ok("/a/b")),
            ("/a/%2e%2e/b", Ok("/b")),
            ("/a/%2E./b", Ok("/b")),
            ("//a///b", Ok("/a/b")),
            ("/a/..", Ok("/")),
            ("/a/b/..", Ok("/a/")),
            ("/a/b/.", Ok("/a/b/")),
            ("/%41%7e", Ok("/A~")),
            ("/a%c3%a9", Ok("/a%C3%A9")),
            ("/a b", Ok("/a b")),
            ("/...", Ok("/...")),
            ("/..", Err(PathProblem::AboveRoot)),
            ("/a/../../b", Err(PathProblem::AboveRoot)),
            ("/%2e%2e/b", Err(PathProblem::AboveRoot)),
            ("/a%2fb", Err(PathProblem::Ambiguous)),
            ("/a%2Fb", Err(PathProblem::Ambiguous)),
            ("/a%5cb", Err(PathProblem::Ambiguous)),
            ("/a\\b", Err(PathProblem::Ambiguous)),
            ("/a%00", Err(PathProblem::Ambiguous)),
            ("/a%0d%0a", Err(PathProblem::Ambiguous)),
            ("/a%", Err(PathProblem::BadEscape)),
            ("/a%4", Err(PathProblem::BadEscape)),
            ("/a%zz", Err(PathProblem::BadEscape)),
            ("/a%+4", Err(PathProblem::BadEscape)),
            ("a", Err(PathProblem::NotAbsolute)),
            ("", Err(PathProblem::NotAbsolute)),
            ("*", Err(PathProblem::NotAbsolute)),
        ];
        for (path, expected) in table {
            assert_eq!(normalise(path), expected.map(String::from), "{path}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/(([a-c.]|%2[eEfF5]|%[46]1|/){0,12})") {
            if is_normal(&path) {
                prop_assert_eq!(normalise_slowly(&path), Ok(path.clone()));
            }
            if let Ok(once) = normalise(&path) {
                prop_assert_eq!(normalise(&once), Ok(once.clone()));
                prop_assert!(!once.contains("//") && !once.contains("/../") && !once.contains("/./"));
            }
        }
    }
}
