//! Times, sizes, rates and networks as people write them: `5s`, `32KiB`, `500B/s`, `10.0.0.0/8`. Text in, values out;
//! nothing else.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
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

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Neither a network nor an address.
    #[error("is not a network")]
    Syntax,
    /// An address with a prefix that does not cover all of its bits; the network of that prefix comes along.
    #[error("has bits behind its prefix")]
    Bits(IpNet),
}

impl NetworkError {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Syntax => "write it like \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.1\"".into(),
            Self::Bits(network) => format!("write \"{network}\""),
        }
    }
}

/// A network, or an address as the network of itself; networks of mapped addresses are those of IPv4.
///
/// # Errors
/// When it is neither, or has bits behind its prefix.
pub fn network(text: &str) -> Result<IpNet, NetworkError> {
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    let given = text.parse::<IpNet>().or_else(|_| single()).map_err(|_| NetworkError::Syntax)?;
    let network = match (given, given.addr().to_canonical()) {
        (IpNet::V6(v6), IpAddr::V4(v4)) => {
            let prefix = v6.prefix_len().checked_sub(96).ok_or(NetworkError::Syntax)?;
            IpNet::V4(Ipv4Net::new(v4, prefix).map_err(|_| NetworkError::Syntax)?)
        }
        _ => given,
    };
    if network.trunc() == network { Ok(network) } else { Err(NetworkError::Bits(network.trunc())) }
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

    #[test]
    fn networks_are_read_with_and_without_a_prefix() {
        let shown = |text| network(text).map(|network| network.to_string());
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(network("10.0.0.1/8").map_err(|error| error.hint()), Err("write \"10.0.0.0/8\"".into()));
        for text in ["", "10.0.0.0/33", "host", "::ffff:1.2.3.4/64", "10.0.0.0/"] {
            assert_eq!(network(text), Err(NetworkError::Syntax), "{text}");
        }
    }
}
