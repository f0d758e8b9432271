//! `${VAR}` and `${VAR:-default}` in string values, so that one file serves several machines and secrets stay out of it.

use super::error::Complaint;

/// Replaces every variable; `$${` stands for a literal `${`, and a `$` before anything else for itself. As in a shell,
/// a variable that is set but empty takes its `:-` default.
pub fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Complaint> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inner, behind) = after.split_once('}').ok_or_else(unclosed)?;
        out.push_str(&resolve(inner, env)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

fn resolve(inner: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Complaint> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if !sound {
        return Err(Complaint::new(format!("{name:?} is not the name of an environment variable"))
            .hint("write ${NAME} or ${NAME:-default}; a literal ${ is written $${"));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.into()),
        (None, None) => Err(Complaint::new(format!("the environment variable {name} is not set"))
            .hint(format!("set it, or give a default: ${{{name}:-…}}"))),
    }
}

fn unclosed() -> Complaint {
    Complaint::new("${ without a closing }").hint("a literal ${ is written $${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let env = |name: &str| match name {
            "HOST" => Some("a.test".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let found = expand(text, &env).map_err(|complaint| complaint.problem);
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn variables_and_defaults() {
        check("plain $5 $HOST {x}", Ok("plain $5 $HOST {x}"));
        check("ws://${HOST}:9000", Ok("ws://a.test:9000"));
        check("${HOST}${HOST}", Ok("a.testa.test"));
        check("${NONE:-b.test}", Ok("b.test"));
        check("${NONE:-}", Ok(""));
        check("${HOST:-b.test}", Ok("a.test"));
        check("${EMPTY}", Ok(""));
        check("${EMPTY:-x}", Ok("x"));
        check("${NONE:-a:-b}", Ok("a:-b"));
        check("$${HOST}", Ok("${HOST}"));
        check("$$${HOST}", Ok("$${HOST}"));
        check("a$", Ok("a$"));
    }

    #[test]
    fn what_cannot_be_expanded() {
        check("${NONE}", Err("the environment variable NONE is not set"));
        check("${HOST", Err("${ without a closing }"));
        check("${}", Err("\"\" is not the name of an environment variable"));
        check("${1A}", Err("\"1A\" is not the name of an environment variable"));
        check("${A B}", Err("\"A B\" is not the name of an environment variable"));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        let env = |_: &str| Some("${HOST}".to_owned());
        assert_eq!(expand("${X}", &env), Ok("${HOST}".into()));
    }
}
