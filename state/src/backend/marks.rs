//! Marks that each write of a table leaves, so that none of them can be lost unnoticed.
//!
//! Writes are numbered. Write `n` sets the mark in slot `n` modulo [`MARKS`] to `n`, together with
//! its records and the footer, which carries `n` too. So after opening, the newest [`MARKS`] writes
//! up to the footer's must all have their marks: a journal or a file that is missing, or of another
//! time, leaves a gap.

use super::fjall::corrupted;
use crate::error::Error;

/// How many writes back a gap is found: a thousand flushes, of which the oldest have long been
/// compacted with what came before.
pub(super) const MARKS: u64 = 1024;

/// A mark's key begins as the footer's, which is shorter.
const MARK: u8 = 0;

/// The key of the mark of write `number`.
pub(super) fn key(number: u64) -> [u8; 3] {
    let [.., high, low] = (number % MARKS).to_be_bytes();
    [MARK, high, low]
}

/// Checks the marks of a table whose footer is of write `last`; `marks` are all that it has.
pub(super) fn check(
    name: &str,
    last: u64,
    marks: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), Error>>,
) -> Result<(), Error> {
    let first = last.saturating_sub(MARKS - 1).max(1);
    let mut found = 0;
    for mark in marks {
        let (key, value) = mark?;
        let number = value.try_into().map(u64::from_be_bytes);
        let number = number.map_err(|_| corrupted(name, "a mark is unreadable".to_owned()))?;
        if number > last || key != self::key(number) {
            return Err(corrupted(
                name,
                format!("it has a mark of write {number} of {last}"),
            ));
        }
        found += u64::from(number >= first);
    }
    let expected = last + 1 - first;
    if found != expected {
        let gap = format!(
            "{} of its last {expected} writes are missing",
            expected - found
        );
        return Err(corrupted(name, gap));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a table after write `last` whose slots hold the marks of `numbers`.
    fn check_with(last: u64, numbers: impl Iterator<Item = u64>) -> Result<(), String> {
        let mark = |number: u64| Ok((key(number).to_vec(), number.to_be_bytes().to_vec()));
        check("table", last, numbers.map(mark)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_newest_writes_must_all_have_their_marks() {
        assert_eq!(check_with(0, 0..0), Ok(()));
        assert_eq!(check_with(3, 1..4), Ok(()));
        assert_eq!(check_with(MARKS + 7, 8..MARKS + 8), Ok(()));
        for last in [3, MARKS + 7] {
            let first = last.saturating_sub(MARKS - 1).max(1);
            for lost in [first, last] {
                let left = (first..=last).filter(|number| *number != lost);
                let error = check_with(last, left).unwrap_err();
                assert!(error.contains("1 of its last"), "{error}");
            }
        }
    }

    #[test]
    fn a_mark_that_was_not_replaced_is_a_gap() {
        let marks = (9..MARKS + 8).chain([7]);
        assert!(check_with(MARKS + 7, marks).is_err());
    }

    #[test]
    fn a_mark_of_a_write_after_the_footer_is_damage() {
        let error = check_with(3, 1..5).unwrap_err();
        assert!(error.contains("a mark of write 4 of 3"), "{error}");
    }
}
