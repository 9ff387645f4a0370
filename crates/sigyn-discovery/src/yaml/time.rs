//! Dates and times: nobody asks for one, but a tag says that a text is one.

/// Whether a text is a date, or a date and a time.
pub(super) fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let (day, time) = match rest.find(|c: char| !c.is_ascii_digit()) {
        Some(end) => (&rest[..end], &rest[end..]),
        None => (rest, ""),
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2))
    else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
        && match time.as_bytes().first() {
            None => true,
            Some(b' ') => is_time(&time[1..]),
            Some(b'T' | b't') => {
                let rest = &time[1..];
                let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
                is_time(&rest[..end]) && is_zone(&rest[end..])
            }
            Some(_) => false,
        }
}

fn is_time(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (second, fraction) = second.split_once(['.', ',']).unwrap_or((second, "0"));
    let below = |text: &str, end| number(text, 2).is_some_and(|number| number < end);
    below(hour, 24) && below(minute, 60) && below(second, 60) && number(fraction, 1_000).is_some()
}

fn is_zone(text: &str) -> bool {
    let Some(zone) = text.strip_prefix(['+', '-']) else { return text == "Z" };
    let below =
        |text: &str, end| text.len() == 2 && number(text, 2).is_some_and(|number| number < end);
    zone.split_once(':').is_some_and(|(hours, minutes)| below(hours, 25) && below(minutes, 60))
}

/// Digits, and not too many; of a long fraction only that it is one.
fn number(text: &str, digits_max: usize) -> Option<u32> {
    if text.is_empty() || text.len() > digits_max || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::is_timestamp;

    #[test]
    fn dates_and_times() {
        for text in [
            "2001-02-03",
            "2001-2-3",
            "2000-02-29",
            "2001-02-03 04:05:06",
            "2001-02-03 4:5:6.789",
            "2001-02-03T04:05:06Z",
            "2001-02-03t04:05:06.7+01:30",
        ] {
            assert!(is_timestamp(text), "{text}");
        }
        for text in [
            "",
            "2001",
            "01-02-03",
            "2001-02",
            "2001-02-30",
            "1900-02-29",
            "2001-13-01",
            "2001-00-01",
            "2001-01-00",
            "2001-001-01",
            "2001-02-03 ",
            "2001-02-03T04:05:06",
            "2001-02-03 04:05",
            "2001-02-03 24:00:00",
            "2001-02-03 04:05:06.",
            "2001-02-03T04:05:06+1",
            "2001-02-03x",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
