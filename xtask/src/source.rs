//! A view of Rust source in which comments and the contents of literals are blank.
//!
//! Rules about code then need no parser: a word that is left is code, on the line where it stands.

/// Replaces comments, string and character contents by spaces; line breaks stay.
pub(crate) fn code_only(text: &str) -> String {
    let mut view = View {
        rest: text,
        code: String::with_capacity(text.len()),
    };
    while !view.rest.is_empty() {
        view.step();
    }
    view.code
}

struct View<'a> {
    rest: &'a str,
    code: String,
}

impl View<'_> {
    /// Consumes one comment, one literal, one word or one other character.
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some(length) = raw_string(rest).or_else(|| plain_literal(rest)) {
            self.blank(length);
        } else {
            self.keep(word(rest));
        }
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.code
            .extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.code.push_str(kept);
        self.rest = rest;
    }
}

/// The length of a word, so that the `r` of `for"` does not begin a raw string; else of a character.
fn word(rest: &str) -> usize {
    let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    if length > 0 {
        length
    } else {
        rest.chars().next().map_or(0, char::len_utf8)
    }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment with the comments nested in it.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of `r"..."`, `r#"..."#` and their byte and C variants.
fn raw_string(rest: &str) -> Option<usize> {
    let after = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(rest.len() - body.len() + end)
}

/// The length of a string or character literal; a lifetime is none.
fn plain_literal(rest: &str) -> Option<usize> {
    let body = rest
        .strip_prefix("b")
        .filter(|body| body.starts_with(['"', '\'']))
        .unwrap_or(rest);
    let prefix = rest.len() - body.len();
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = &body[1..];
    if quote == '\'' && is_lifetime(inner) {
        return None;
    }
    Some(prefix + 1 + closing(inner, quote))
}

fn is_lifetime(inner: &str) -> bool {
    let mut chars = inner.chars();
    chars.next().is_some_and(is_word) && chars.next() != Some('\'')
}

/// The length up to and including the quote that is not escaped.
fn closing(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str) {
        assert_eq!(
            code_only(text)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            code
        );
        assert_eq!(code_only(text).lines().count(), text.lines().count());
    }

    #[test]
    fn comments_are_blank_and_keep_their_lines() {
        check("a // tokio\nb /* x /* y */\n z */ c", "a b c");
    }

    #[test]
    fn the_contents_of_strings_are_blank() {
        check(r##"a("x \" // y", b"z", r#"q " r"#); b"##, "a( , , ); b");
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        check(
            "fn f<'a>(x: &'a str) { '\\'' '\"' 'z' }",
            "fn f<'a>(x: &'a str) { }",
        );
    }

    #[test]
    fn a_word_that_ends_like_a_raw_string_is_a_word() {
        check("for r in br { our\"x\" }", "for r in br { our }");
    }
}
