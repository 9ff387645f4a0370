//! What time it is for whoever deletes by age: a clock that jumps ahead is not believed at once.

use std::io;
use std::time::Duration;

use crate::disk::Disk;

/// Where it is kept what was believed: a store that never runs for long must come to believe its clock,
/// and one whose clock is wrong at every boot must not.
pub(crate) const PATH: &str = "TIME";
const VERSION: u32 = 1;
/// How long a clock that is ahead must stay so. One that is wrong at boot is set right by then.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How far ahead a clock may be at any rate, if the retention is long.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is written down what is believed, and how often while it is doubted.
const KEEP_EVERY: Duration = Duration::from_secs(60 * 60);
const KEEP_DOUBTED_EVERY: Duration = Duration::from_secs(60);

/// The time, as far as it is believed.
#[derive(Debug)]
pub(crate) struct Present {
    believed: Running,
    /// At which uptime the clock began to be ahead.
    doubted_at_ms: Option<u64>,
    /// If it was behind when it was seen first, and is so since.
    behind: Option<Behind>,
    has_looked: bool,
    /// For how long it was ahead, and behind, when this ran before.
    doubted_before_ms: u64,
    behind_before_ms: u64,
    /// At which uptime it was written down last; nothing if that must be done.
    kept_at_ms: Option<u64>,
}

/// A clock that was seen once, and goes on evenly.
#[derive(Clone, Copy, Debug)]
struct Running {
    ms: u64,
    /// What was the uptime then.
    at_ms: u64,
}

/// A clock that is behind.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// What it was when it was seen first: nothing is deleted by a time after this.
    first: Running,
    last: Running,
    /// At which uptime it began to go on evenly.
    since_ms: u64,
}

/// What was written down: a time, and for how long the clock had been ahead of it by then, or behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    believed_ms: u64,
    doubted_ms: u64,
    behind_ms: u64,
}

impl Running {
    fn ms(self, uptime_ms: u64) -> u64 {
        self.ms.saturating_add(uptime_ms.saturating_sub(self.at_ms))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Present {
    /// As it was written down, or else as of `last_arrival_ms`, when something was stored last. `uptime_ms`
    /// counts evenly, from whenever.
    pub(crate) fn open(disk: &Disk, last_arrival_ms: u64, uptime_ms: u64) -> Self {
        let kept = disk.read(PATH).ok().flatten().and_then(|bytes| Kept::decode(&bytes));
        let never = Kept { believed_ms: last_arrival_ms, ..Kept::default() };
        Self::since(kept.unwrap_or(never), uptime_ms)
    }

    fn since(Kept { believed_ms, doubted_ms, behind_ms }: Kept, uptime_ms: u64) -> Self {
        Self {
            believed: Running { ms: believed_ms, at_ms: uptime_ms },
            doubted_at_ms: None,
            behind: None,
            has_looked: false,
            doubted_before_ms: doubted_ms,
            behind_before_ms: behind_ms,
            kept_at_ms: None,
        }
    }

    /// The time by which spans are deleted that are to stay for `retention`.
    pub(crate) fn now_ms(&mut self, clock_ms: u64, uptime_ms: u64, retention: Duration) -> u64 {
        let expected_ms = self.believed.ms(uptime_ms);
        let ahead_ms = clock_ms.saturating_sub(expected_ms);
        let tolerated_ms = millis((retention / 8).min(AHEAD_MAX));
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        if expected_ms.saturating_sub(clock_ms) > tolerated_ms {
            let now = Running { ms: clock_ms, at_ms: uptime_ms };
            if is_first {
                self.behind = Some(Behind { first: now, last: now, since_ms: uptime_ms });
            }
            // One that is not set yet deletes too little at worst. But it must not make the right one look as if
            // that were ahead, nor end the doubts of it. One that goes back later was set right.
            if let Some(behind) = &mut self.behind {
                let last_ms = std::mem::replace(&mut behind.last, now).ms(uptime_ms);
                if clock_ms.saturating_sub(last_ms) > tolerated_ms {
                    (behind.since_ms, self.behind_before_ms) = (uptime_ms, 0);
                }
                let first_ms = behind.first.ms(uptime_ms);
                if self.behind_ms(uptime_ms) < millis(PATIENCE) {
                    return clock_ms.min(first_ms);
                }
            }
        }
        (self.behind, self.behind_before_ms) = (None, 0);
        if ahead_ms > tolerated_ms {
            self.doubted_at_ms.get_or_insert_with(|| {
                let (ahead_s, patience_s) = (ahead_ms / 1_000, PATIENCE.as_secs());
                tracing::warn!(
                    ahead_s,
                    patience_s,
                    "the clock is ahead of what is stored and of how long this runs; unless it is set right, spans are deleted by it after a while"
                );
                uptime_ms
            });
            if self.doubted_ms(uptime_ms) < millis(PATIENCE) {
                return expected_ms;
            }
        }
        if clock_ms.abs_diff(expected_ms) > millis(KEEP_DOUBTED_EVERY) {
            self.kept_at_ms = None;
        }
        (self.doubted_at_ms, self.doubted_before_ms) = (None, 0);
        self.believed = Running { ms: clock_ms, at_ms: uptime_ms };
        clock_ms
    }

    fn doubted_ms(&self, uptime_ms: u64) -> u64 {
        let since_ms = self.doubted_at_ms.map_or(0, |at_ms| uptime_ms.saturating_sub(at_ms));
        self.doubted_before_ms.saturating_add(since_ms)
    }

    fn behind_ms(&self, uptime_ms: u64) -> u64 {
        let since_ms = self.behind.map_or(0, |behind| uptime_ms.saturating_sub(behind.since_ms));
        self.behind_before_ms.saturating_add(since_ms)
    }

    /// Writes down what is believed, if it is time to; whether that was done.
    pub(crate) fn keep(&mut self, disk: &Disk, uptime_ms: u64) -> bool {
        let is_doubted = self.doubted_at_ms.is_some() || self.behind.is_some();
        let every = if is_doubted { KEEP_DOUBTED_EVERY } else { KEEP_EVERY };
        let is_due =
            self.kept_at_ms.is_none_or(|at_ms| uptime_ms.saturating_sub(at_ms) >= millis(every));
        is_due && self.keep_now(disk, uptime_ms)
    }

    /// The same, at once.
    pub(crate) fn keep_now(&mut self, disk: &Disk, uptime_ms: u64) -> bool {
        // What fails is tried when it is time again: it is not worth more.
        self.kept_at_ms = Some(uptime_ms);
        let written = self.write(disk, uptime_ms);
        if let Err(error) = &written {
            tracing::debug!(%error, "cannot write down what time it is");
        }
        written.is_ok()
    }

    fn write(&self, disk: &Disk, uptime_ms: u64) -> io::Result<()> {
        let kept = Kept {
            believed_ms: self.believed.ms(uptime_ms),
            doubted_ms: self.doubted_ms(uptime_ms),
            behind_ms: self.behind_ms(uptime_ms),
        };
        disk.replace(PATH, kept.encode().as_bytes())
    }
}

/// What is wrong with what was written down, if anything is: it is as if it had not been.
pub(crate) fn damage(disk: &Disk) -> Option<String> {
    match disk.read(PATH) {
        Ok(None) => None,
        Ok(Some(bytes)) => {
            Kept::decode(&bytes).is_none().then(|| "it is not what was written".to_owned())
        }
        Err(error) => Some(format!("it cannot be read: {error}")),
    }
}

impl Kept {
    fn encode(self) -> String {
        let Self { believed_ms, doubted_ms, behind_ms } = self;
        let mut text = format!(
            "sigyn-store time {VERSION}\nbelieved_ms {believed_ms}\ndoubted_ms {doubted_ms}\n"
        );
        if behind_ms > 0 {
            text.push_str(&format!("behind_ms {behind_ms}\n"));
        }
        format!("{text}crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()))
    }

    /// Nothing of what is not exactly what was written.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines().skip(1);
        let mut number = |name: &str| lines.next()?.strip_prefix(name)?.trim().parse().ok();
        let kept = Self {
            believed_ms: number("believed_ms")?,
            doubted_ms: number("doubted_ms")?,
            behind_ms: number("behind_ms").unwrap_or(0),
        };
        (kept.encode() == text).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faulty::FaultyDisk;

    const MINUTE: u64 = 60 * 1_000;
    const HOUR: u64 = 60 * 60 * 1_000;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    const TENTH_DAY: Kept = Kept { believed_ms: 10 * DAY, doubted_ms: 0, behind_ms: 0 };

    /// What is believed, where the last batch arrived at day 10 and these are clock and uptime.
    fn check(retention_days: u32, seen: &[(u64, u64, u64)]) {
        let mut present = Present::since(TENTH_DAY, 7);
        let retention = Duration::from_secs(24 * 60 * 60) * retention_days;
        for (at, (clock_ms, uptime_ms, expected)) in seen.iter().enumerate() {
            let now_ms = present.now_ms(*clock_ms, 7 + uptime_ms, retention);
            assert_eq!(now_ms, *expected, "{at} of {seen:?}");
        }
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        check(7, &[(10 * DAY + 20 * HOUR, 0, 10 * DAY + 20 * HOUR)]);
        check(
            7,
            &[(10 * DAY, 0, 10 * DAY), (11 * DAY, DAY, 11 * DAY), (13 * DAY, 3 * DAY, 13 * DAY)],
        );
        check(30, &[(11 * DAY, 0, 11 * DAY), (12 * DAY, HOUR, 12 * DAY)]);
        // It was ahead before, or is behind now.
        check(7, &[(DAY, 0, DAY), (DAY + HOUR, HOUR, DAY + HOUR)]);
    }

    #[test]
    fn one_that_jumps_ahead_is_believed_after_an_hour() {
        let wrong = YEAR;
        check(
            7,
            &[
                (wrong, 0, 10 * DAY),
                (wrong + HOUR - 1, HOUR - 1, 10 * DAY + HOUR - 1),
                (wrong + HOUR, HOUR, wrong + HOUR),
                (wrong + HOUR + 1, HOUR + 1, wrong + HOUR + 1),
            ],
        );
        // It is set right in time, and later wrong again.
        check(
            7,
            &[
                (wrong, 0, 10 * DAY),
                (10 * DAY + 9, HOUR - 1, 10 * DAY + 9),
                (wrong, HOUR, 10 * DAY + 10),
                (wrong, 2 * HOUR - 1, 10 * DAY + 9 + HOUR),
                (wrong, 2 * HOUR, wrong),
            ],
        );
        // Of a short retention little is a lot.
        check(
            1,
            &[(10 * DAY + 4 * HOUR, 0, 10 * DAY), (10 * DAY + 2 * HOUR, 1, 10 * DAY + 2 * HOUR)],
        );
    }

    /// What is believed in runs of so many minutes, each at its clock's time; the last batch arrived at day 10.
    fn check_runs(retention_days: u32, runs: &[(u64, u64, u64)]) {
        let disk = Disk::Faulty(FaultyDisk::default());
        let retention = Duration::from_secs(24 * 60 * 60) * retention_days;
        for (at, (clock_ms, minutes, expected)) in runs.iter().enumerate() {
            let uptime_ms = 1_000 * at as u64;
            let mut present = Present::open(&disk, 10 * DAY, uptime_ms);
            let mut now_ms = 0;
            for minute in 0..=*minutes {
                let passed_ms = minute * MINUTE;
                now_ms = present.now_ms(clock_ms + passed_ms, uptime_ms + passed_ms, retention);
                present.keep(&disk, uptime_ms + passed_ms);
            }
            assert_eq!(now_ms, *expected, "{at} of {runs:?}");
        }
    }

    #[test]
    fn one_that_is_ahead_in_many_short_runs_is_believed_at_last() {
        let day = |days: u64, minutes: u64| days * DAY + minutes * MINUTE;
        check_runs(
            7,
            &[
                (day(11, 0), 45, day(10, 45)),
                (day(12, 0), 14, day(10, 59)),
                (day(13, 0), 45, day(13, 45)),
                (day(14, 0), 45, day(13, 46)),
            ],
        );
    }

    #[test]
    fn one_that_is_not_set_yet_after_each_start_undoes_nothing() {
        let disk = Disk::Faulty(FaultyDisk::default());
        let retention = Duration::from_secs(7 * 24 * 60 * 60);
        let mut last_ms = 0;
        // A board without a battery is used for less than an hour a day.
        for day in 20..22 {
            let mut present = Present::open(&disk, 10 * DAY, 7);
            let before = Kept::decode(&disk.read(PATH).unwrap().unwrap_or_default());
            for minute in 0..45 {
                let clock_ms = if minute < 2 { 0 } else { day * DAY } + minute * MINUTE;
                last_ms = present.now_ms(clock_ms, 7 + minute * MINUTE, retention);
                present.keep(&disk, 7 + minute * MINUTE);
                if minute < 2 {
                    assert_eq!(last_ms, clock_ms);
                    let kept = Kept::decode(&disk.read(PATH).unwrap().unwrap()).unwrap();
                    assert!(kept.believed_ms >= 10 * DAY, "{kept:?}");
                    assert_eq!(kept.doubted_ms, before.map_or(0, |before| before.doubted_ms));
                }
            }
            if day == 20 {
                assert_eq!(last_ms, 10 * DAY + 44 * MINUTE);
            }
        }
        assert_eq!(last_ms, 21 * DAY + 44 * MINUTE);
    }

    #[test]
    fn one_that_stays_behind_is_believed_after_an_hour() {
        let check_kept = |passed_ms: u64, expected_ms: u64| {
            let mut present = Present::since(TENTH_DAY, 7);
            let retention = Duration::from_secs(7 * 24 * 60 * 60);
            for at in [0, passed_ms] {
                assert_eq!(present.now_ms(DAY + at, 7 + at, retention), DAY + at);
            }
            assert_eq!(present.believed.ms(7 + passed_ms), expected_ms);
        };
        check_kept(HOUR - 1, 10 * DAY + HOUR - 1);
        check_kept(HOUR, DAY + HOUR);
    }

    #[test]
    fn one_that_is_behind_in_many_short_runs_is_believed_at_last() {
        // It was a year ahead once, for more than an hour.
        let day = |days: u64, minutes: u64| days * DAY + minutes * MINUTE;
        check_runs(
            7,
            &[
                (YEAR, 60, YEAR + HOUR),
                (day(20, 0), 45, day(20, 45)),
                (day(21, 0), 45, day(21, 45)),
                // And is so again.
                (YEAR - DAY, 45, day(21, 60)),
            ],
        );
        // One that was behind for a minute each time never was for an hour.
        let mut runs = Vec::new();
        for n in 0..90 {
            runs.push((DAY, 1, DAY + MINUTE));
            runs.push((day(10, n), 0, day(10, n)));
        }
        check_runs(7, &runs);
    }

    #[test]
    fn one_that_is_behind_and_jumps_ahead_is_believed_after_an_hour() {
        let wrong = 300 * DAY;
        let mut present = Present::since(Kept { believed_ms: YEAR, ..Kept::default() }, 7);
        let retention = Duration::from_secs(7 * 24 * 60 * 60);
        for (clock_ms, uptime_ms, expected) in [
            (20 * DAY, 0, 20 * DAY),
            (20 * DAY + MINUTE, MINUTE, 20 * DAY + MINUTE),
            (wrong, 2 * MINUTE, 20 * DAY + 2 * MINUTE),
            (wrong + HOUR - MINUTE, HOUR + MINUTE, 20 * DAY + HOUR + MINUTE),
            (20 * DAY, HOUR + 2 * MINUTE, 20 * DAY),
        ] {
            assert_eq!(present.now_ms(clock_ms, 7 + uptime_ms, retention), expected);
        }
        for (passed_ms, is_believed) in [(0, false), (HOUR - 1, false), (HOUR, true)] {
            let clock_ms = wrong + passed_ms;
            let now_ms = present.now_ms(clock_ms, 7 + 2 * HOUR + passed_ms, retention);
            assert_eq!(now_ms == clock_ms, is_believed, "{passed_ms} {now_ms}");
        }
    }

    #[test]
    fn one_that_is_wrong_for_a_while_after_each_start_is_never_believed() {
        let wrong = YEAR;
        let mut runs = Vec::new();
        for n in 0..30 {
            let start = 10 * DAY + n * 5 * MINUTE;
            runs.push((wrong, 4, start + 4 * MINUTE));
            runs.push((start + 5 * MINUTE, 0, start + 5 * MINUTE));
        }
        check_runs(7, &runs);
    }

    #[test]
    fn what_is_written_down_is_read_back_and_nothing_else_is() {
        for behind_ms in [0, 7] {
            let kept = Kept { believed_ms: 1_700_000_000_000, doubted_ms: 60_000, behind_ms };
            let text = kept.encode();
            assert_eq!(Kept::decode(text.as_bytes()), Some(kept));
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                assert_eq!(Kept::decode(&bytes), None, "{at}");
                assert_eq!(Kept::decode(&text.as_bytes()[..at]), None, "{at}");
            }
        }
    }
}
