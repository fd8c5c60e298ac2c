//! Times, sizes and rates as people write them: `5s`, `32KiB`, `500B/s`. Text in, numbers out; nothing else.

use std::time::Duration;

use thiserror::Error;

/// Why a time, size or rate cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnitError {
    /// There is no number in front.
    #[error("it has no number in front")]
    NoNumber,
    /// The unit is missing or unknown.
    #[error("its unit is missing or not known")]
    BadUnit,
    /// The number is too big to be meant.
    #[error("it is too big")]
    TooBig,
}

/// A time: a whole number with `ms`, `s`, `m`, `h` or `d`, or `0`, which means no limit wherever a limit is asked for.
///
/// # Errors
/// When the number or the unit is missing, or the time is longer than 100 years.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    const CENTURY_MS: u64 = 100 * 366 * 86_400_000;
    let (number, unit) = split(text)?;
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if number == 0 => 0,
        _ => return Err(UnitError::BadUnit),
    };
    let ms = number.checked_mul(scale).filter(|ms| *ms <= CENTURY_MS).ok_or(UnitError::TooBig)?;
    Ok(Duration::from_millis(ms))
}

/// A size in bytes: a whole number with `B`, `KiB`, `MiB`, `GiB` (of 1024) or `KB`, `MB`, `GB` (of 1000);
/// `none` and `0` are no limit.
///
/// # Errors
/// When the number or the unit is missing, or the size does not fit into 63 bits.
pub fn bytes(text: &str) -> Result<Option<u64>, UnitError> {
    if text == "none" {
        return Ok(None);
    }
    let (number, unit) = split(text)?;
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "" if number == 0 => 0,
        _ => return Err(UnitError::BadUnit),
    };
    let size = number.checked_mul(scale).filter(|size| *size <= i64::MAX as u64);
    Ok(Some(size.ok_or(UnitError::TooBig)?).filter(|size| *size > 0))
}

/// A rate in bytes per second: a size followed by `/s`; `none` and `0` are no limit.
///
/// # Errors
/// As [`bytes`], and when `/s` is missing.
pub fn rate(text: &str) -> Result<Option<u64>, UnitError> {
    match text.strip_suffix("/s") {
        Some(size) => bytes(size),
        None if matches!(text, "none" | "0") => Ok(None),
        None => Err(UnitError::BadUnit),
    }
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    Ok((number.parse().map_err(|_| UnitError::TooBig)?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        let table = [("5s", 5_000), ("0", 0), ("250ms", 250), ("2m", 120_000), ("1h", 3_600_000), ("1d", 86_400_000)];
        for (text, ms) in table {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, why) in [
            ("", UnitError::NoNumber),
            ("s", UnitError::NoNumber),
            ("-5s", UnitError::NoNumber),
            ("5", UnitError::BadUnit),
            ("5 s", UnitError::BadUnit),
            ("5min", UnitError::BadUnit),
            ("99999999999999999999s", UnitError::TooBig),
            ("99999999999d", UnitError::TooBig),
        ] {
            assert_eq!(duration(text), Err(why), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        let table = [
            ("32KiB", Some(32_768)),
            ("1MB", Some(1_000_000)),
            ("7B", Some(7)),
            ("none", None),
            ("0", None),
            ("0B", None),
        ];
        for (text, size) in table {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "12", "12kb", "1.5MiB", "99999999999GiB", "none/s"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_need_a_per_second() {
        assert_eq!(rate("500B/s"), Ok(Some(500)));
        assert_eq!(rate("none"), Ok(None));
        assert_eq!(rate("0"), Ok(None));
        assert_eq!(rate("500B"), Err(UnitError::BadUnit));
    }
}
