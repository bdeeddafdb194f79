//! What people write, at the command line and into forms: rates, limits of hosts that share a label, and in which order hosts come.
//!
//! Each refusal says what would be right; whoever asked adds for what.

use crate::http::views::HintBody;

/// Bytes per second: of bits as links are called by, or of bytes.
///
/// # Errors
/// How it is written.
pub fn rate(text: &str) -> Result<u64, String> {
    let either = link_rate(text).or_else(|_| bytes_each_second(text));
    either.map_err(|_| "write for example 10Gbit, 800Mbit or 500MiB: it is meant for each second".to_owned())
}

/// Bytes per second, of bits per second as links are called by.
///
/// # Errors
/// How it is written.
pub fn link_rate(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let units = [("gbit", 1e9), ("mbit", 1e6)];
    let bits = units.into_iter().find_map(|(unit, bits)| {
        let number: f64 = lower.strip_suffix(unit)?.trim().parse().ok()?;
        (number.is_finite() && number * bits >= 8.0).then_some(number * bits)
    });
    let bits = bits.ok_or_else(|| "write for example 10Gbit or 800Mbit".to_owned())?;
    // Less what TCP and Ethernet need, as in the gigabit that is assumed.
    Ok((bits / 8.0 * 0.936) as u64)
}

/// `8MiB`, `500KiB`: bytes per second.
///
/// # Errors
/// How it is written.
pub fn bytes_each_second(text: &str) -> Result<u64, String> {
    let units = [("KiB", 1_u64 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    units
        .into_iter()
        .find_map(|(unit, size)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            (number.is_finite() && number >= 0.0).then_some((number * size as f64) as u64)
        })
        .ok_or_else(|| "write for example 8MiB or 500KiB: it is meant for each second".to_owned())
}

/// `rack=r12`.
///
/// # Errors
/// How it is written.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((label, value)) if !label.is_empty() && !value.is_empty() => {
            Ok((label.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err("write it as label=value: rack=r12".to_owned()),
    }
}

/// `rack=2`.
///
/// # Errors
/// How it is written.
pub fn per(text: &str) -> Result<(String, u32), String> {
    let (label, most) = label(text).map_err(|_| "write it as label=number: rack=1".to_owned())?;
    let most =
        most.parse().map_err(|_| format!("{most:?} is no number; write it as label=number: rack=1"))?;
    Ok((label, most))
}

/// `rack=10Gbit`.
///
/// # Errors
/// How it is written.
pub fn uplink(text: &str) -> Result<(String, u64), String> {
    let (label, most) = label(text).map_err(|_| "write it as label=rate: rack=10Gbit".to_owned())?;
    Ok((label, rate(&most)?))
}

/// `rack=r1 after rack=r2`.
///
/// # Errors
/// How it is written.
pub fn hint(text: &str) -> Result<HintBody, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [hosts, "after", other] => {
            Ok(HintBody { hosts: hosts.to_owned(), after: Some(other.to_owned()), before: None })
        }
        [hosts, "before", other] => {
            Ok(HintBody { hosts: hosts.to_owned(), after: None, before: Some(other.to_owned()) })
        }
        _ => Err("write it as \"h2 after h1\" or \"rack=r1 before rack=r2\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_in_bits_or_in_bytes() {
        assert_eq!(rate("1Gbit"), Ok(117_000_000));
        assert_eq!(rate("800 mbit"), Ok(93_600_000));
        assert_eq!(rate("500MiB"), Ok(500 << 20));
        for bad in ["", "fast", "500", "500MB", "-1Gbit", "NaNGbit", "infGbit", "0Gbit"] {
            assert!(rate(bad).is_err_and(|why| why.contains("10Gbit, 800Mbit or 500MiB")), "{bad:?}");
        }
    }

    #[test]
    fn limits_of_a_label_and_orders_say_how_they_are_written() {
        assert_eq!(per("rack=2"), Ok(("rack".to_owned(), 2)));
        assert_eq!(uplink("rack=500MiB"), Ok(("rack".to_owned(), 500 << 20)));
        assert!(per("rack").is_err_and(|why| why.contains("label=number")));
        assert!(per("rack=two").is_err_and(|why| why.contains("\"two\" is no number")));
        assert!(uplink("10Gbit").is_err_and(|why| why.contains("label=rate")));
        assert_eq!(
            hint("h2 after h1").map(|hint| (hint.hosts, hint.after)),
            Ok(("h2".to_owned(), Some("h1".to_owned())))
        );
        assert!(hint("h2 beside h1").is_err_and(|why| why.contains("h2 after h1")));
    }
}
