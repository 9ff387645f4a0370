//! The least of many texts, most of which are none of them.

/// What is held before texts are sorted, so that those that come again and again do not add up.
const BYTES_MIN: usize = 16 << 10;

/// The least of the texts that were added, no more than so many: they are sorted when twice as many came, or
/// what they take is twice what was left the last time.
#[derive(Debug)]
pub(super) struct LeastTexts {
    max: usize,
    bytes: Vec<u8>,
    /// Of each text.
    ends: Vec<usize>,
    /// No text that is as great or greater comes in.
    bound: Option<Vec<u8>>,
    /// When they are sorted, at the latest.
    bytes_max: usize,
}

impl LeastTexts {
    pub(super) fn new(max: usize) -> Self {
        Self { max, bytes: Vec::new(), ends: Vec::new(), bound: None, bytes_max: BYTES_MIN }
    }

    pub(super) fn add(&mut self, text: &[u8]) {
        if self.bound.as_ref().is_some_and(|bound| bound.as_slice() <= text) {
            return;
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        if self.ends.len() >= 2 * self.max || self.held() > self.bytes_max {
            self.cut();
            self.bytes_max = BYTES_MIN.max(2 * self.held());
        }
    }

    fn held(&self) -> usize {
        self.bytes.len() + size_of_val(&self.ends[..])
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// No more than so many from here on.
    pub(super) fn lower(&mut self, max: usize) {
        self.max = max;
        self.cut();
        self.bytes_max = BYTES_MIN.max(2 * self.held());
    }

    /// In order, each once.
    pub(super) fn sorted(&self) -> Vec<&[u8]> {
        let mut begin = 0;
        let texts = self.ends.iter().map(|end| {
            let text = &self.bytes[begin..*end];
            begin = *end;
            (first_bytes(text), text)
        });
        let mut texts: Vec<(u64, &[u8])> = texts.collect();
        texts.sort_unstable();
        texts.dedup();
        texts.truncate(self.max);
        texts.into_iter().map(|(_, text)| text).collect()
    }

    #[cold]
    fn cut(&mut self) {
        let sorted = self.sorted();
        let bound = sorted.last().filter(|_| sorted.len() >= self.max).map(|last| last.to_vec());
        let bytes = sorted.concat();
        let mut end = 0;
        let ends = sorted.iter().map(|text| {
            end += text.len();
            end
        });
        self.ends = ends.collect();
        (self.bytes, self.bound) = (bytes, bound);
    }
}

/// What most texts differ in, as a number in the same order.
fn first_bytes(text: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = text.len().min(8);
    first[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_come_again_and_again_take_no_more_than_once() {
        let mut least = LeastTexts::new(4_000);
        for n in 0..100_000u32 {
            least.add(format!("value {}", n % 10).as_bytes());
        }
        assert!(least.bytes() < 4 * BYTES_MIN, "{}", least.bytes());
        assert_eq!(least.sorted().len(), 10);
    }

    #[test]
    fn the_least_stay_in_whatever_order_they_come() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let max = random.usize(1..10);
            let mut least = LeastTexts::new(max);
            let texts = (0..random.usize(0..60)).map(|_| {
                let front =
                    *random.choice(&["", "\0", "a", "longer than", "longer than eight"]).unwrap();
                format!("{front}{}", random.u8(..60)).into_bytes()
            });
            let mut texts: Vec<Vec<u8>> = texts.collect();
            texts.push(Vec::new());
            random.shuffle(&mut texts);
            let lowered = random.usize(1..=max);
            for (n, text) in texts.iter().enumerate() {
                if n == 20 && lowered < max {
                    least.lower(lowered);
                }
                least.add(text);
            }
            let max = if texts.len() > 20 { lowered } else { max };
            texts.sort();
            texts.dedup();
            texts.truncate(max);
            assert_eq!(least.sorted(), texts);
        }
    }
}
