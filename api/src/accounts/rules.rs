//! What is asked of the mail address and the password of an account.

const PASSWORD_CHARS_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1024;
const EMAIL_BYTES_MAX: usize = 254;

/// Whether `text` can be a mail address.
pub fn is_email(text: &str) -> bool {
    let text = text.trim();
    let parts = text.split_once('@');
    let whole = parts
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    whole
        && text.len() <= EMAIL_BYTES_MAX
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether `text` can be a password.
pub fn is_password(text: &str) -> bool {
    text.chars().count() >= PASSWORD_CHARS_MIN && text.len() <= PASSWORD_BYTES_MAX
}

/// What a password must have.
pub fn password_rule() -> String {
    format!("{PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes")
}
