//! Who reads without a cursor of its own: 2017 Loki servers, told apart by the address they ask from.

use std::net::IpAddr;
use std::time::Duration;

/// How many are remembered; of more, the one that came longest ago begins anew.
const REMEMBERED_MAX: usize = 64;

/// Who asks, as the server that took the connection knows it: to be put into the extensions of a
/// request. Only a 2017 Loki server's cursor hangs on it; without, such a one gets everything each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The cursors that we keep for others.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    address: IpAddr,
    next: u64,
    read_at: Duration,
}

impl Peers {
    /// Everything below this was written to it.
    pub(crate) fn next(&self, address: IpAddr) -> u64 {
        let known = self.known.iter().find(|known| known.address == address);
        known.map_or(1, |known| known.next)
    }

    /// Notes that everything below `next` was written, and says whether another was forgotten for it.
    pub(crate) fn advance(&mut self, address: IpAddr, next: u64, now: Duration) -> bool {
        if let Some(known) = self.known.iter_mut().find(|known| known.address == address) {
            known.next = known.next.max(next);
            known.read_at = now;
            return false;
        }
        let full = self.known.len() >= REMEMBERED_MAX;
        if full {
            let oldest = (0..self.known.len()).min_by_key(|at| self.known[*at].read_at);
            oldest.map(|at| self.known.swap_remove(at));
        }
        self.known.push(Known { address, next, read_at: now });
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_cursor_never_goes_back() {
        let mut peers = Peers::default();
        assert_eq!(peers.next(address(1)), 1);
        peers.advance(address(1), 7, NOW);
        // Two answers were under way at once, and the first was the last to be written.
        peers.advance(address(1), 5, NOW);
        assert_eq!(peers.next(address(1)), 7);
        assert_eq!(peers.next(address(2)), 1);
    }

    #[test]
    fn the_one_that_came_longest_ago_is_forgotten() {
        let mut peers = Peers::default();
        for n in 0..64 {
            assert!(!peers.advance(address(n), 2, NOW + Duration::from_secs(n.into())));
        }
        assert!(!peers.advance(address(0), 3, NOW + Duration::from_secs(64)));
        assert!(peers.advance(address(64), 4, NOW + Duration::from_secs(65)));
        assert_eq!(peers.known.len(), REMEMBERED_MAX);
        let next = [0, 1, 2, 64].map(|n| peers.next(address(n)));
        assert_eq!(next, [3, 1, 2, 4]);
    }
}
