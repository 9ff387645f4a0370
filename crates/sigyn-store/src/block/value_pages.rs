//! Values of which there are many, as hashes: in which pages of rows each of them may stand.

use super::section::Section;
use crate::codec::{Decoder, Encoder, Malformed};

/// A hash that is not in a page is found there one time in so many.
const SPARE: u64 = 64;
/// Hashes of one section, about.
const SHARD_HASHES: u64 = if cfg!(test) { 16 } else { 16 << 10 };

/// Hashes of the values in each page of a block's rows.
#[derive(Debug, Default)]
pub(super) struct PageHashes {
    /// Each sorted and without repeats, but for those to which something was added later.
    done: Vec<Vec<u32>>,
    /// Of the page that is being filled.
    open: Vec<u32>,
    count: u64,
}

/// Where the hashes of a block are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shards {
    pages: u32,
    /// How many different numbers hashes become in each section.
    width: u64,
    sections: Vec<Section>,
}

impl PageHashes {
    pub(super) fn push(&mut self, hash: u32) {
        self.open.push(hash);
    }

    /// Adds to a page that may be done already.
    pub(super) fn add(&mut self, page: usize, hash: u32) {
        match self.done.get_mut(page) {
            Some(hashes) => hashes.push(hash),
            None => self.open.push(hash),
        }
        self.count += 1;
    }

    /// The page that is being filled.
    pub(super) fn page(&self) -> usize {
        self.done.len()
    }

    /// How many hashes are held, those of the open page aside.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn end_page(&mut self) {
        self.open.sort_unstable();
        self.open.dedup();
        self.count += self.open.len() as u64;
        self.done.push(self.open.clone());
        self.open.clear();
    }

    /// Forgets all of them, but not how many pages there were.
    pub(super) fn forget(&mut self) {
        self.done.iter_mut().for_each(|hashes| *hashes = Vec::new());
        self.open = Vec::new();
        self.count = 0;
    }

    /// Hands sections to `put`, one after the other.
    pub(super) fn finish<E>(
        mut self,
        put: &mut impl FnMut(&[u8]) -> Result<Section, E>,
    ) -> Result<Shards, E> {
        if !self.open.is_empty() {
            self.end_page();
        }
        let mut all = 0;
        for hashes in &mut self.done {
            hashes.sort_unstable();
            hashes.dedup();
            all += hashes.len() as u64;
        }
        if all == 0 {
            return Ok(Shards::default());
        }
        let shards = all.div_ceil(SHARD_HASHES);
        let pages = self.done.len() as u64;
        let width = (SPARE * all).div_ceil(pages * shards);
        let mut places =
            Shards { pages: u32::try_from(pages).unwrap_or(u32::MAX), width, sections: Vec::new() };
        let mut from = vec![0; self.done.len()];
        for shard in 0..shards {
            let mut encoder = Encoder::default();
            for (hashes, from) in self.done.iter().zip(&mut from) {
                let numbers = hashes[*from..].iter().map(|hash| reduced(*hash, width * shards));
                let mut numbers: Vec<u64> =
                    numbers.take_while(|number| *number < (shard + 1) * width).collect();
                *from += numbers.len();
                numbers.dedup();
                encoder.count(numbers.len());
                let mut last = shard * width;
                for number in numbers {
                    encoder.uint(number - last);
                    last = number;
                }
            }
            places.sections.push(put(&encoder.into_bytes())?);
        }
        Ok(places)
    }
}

/// A hash as one of so many numbers, in the same order.
fn reduced(hash: u32, numbers: u64) -> u64 {
    (u64::from(hash) * numbers) >> 32
}

impl Shards {
    pub(super) fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.uint(u64::from(self.pages));
        encoder.uint(self.width);
        encoder.count(self.sections.len());
        self.sections.iter().for_each(|section| section.encode(encoder));
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let shards = Self {
            pages: decoder.uint_as()?,
            width: decoder.uint()?,
            sections: decoder.list(Section::decode)?,
        };
        let numbers = shards.width.checked_mul(shards.sections.len() as u64);
        match numbers.filter(|numbers| *numbers <= 1 << 32) {
            Some(_) => Ok(shards),
            None => Err(Malformed { what: "hashes of impossible size" }),
        }
    }

    /// The section that tells of a hash; none if it is in no page.
    pub(super) fn section_of(&self, hash: u32) -> Option<&Section> {
        let number = reduced(hash, self.width * self.sections.len() as u64);
        self.sections.get(usize::try_from(number.checked_div(self.width)?).ok()?)
    }

    /// Pages that may have this hash, as its section tells.
    pub(super) fn pages_with(&self, hash: u32, section: &[u8]) -> Result<Vec<u32>, Malformed> {
        let number = reduced(hash, self.width * self.sections.len() as u64);
        let within = number % self.width.max(1);
        let mut decoder = Decoder::new(section);
        let mut found = Vec::new();
        for page in 0..self.pages {
            let mut last = 0u64;
            let mut is_there = false;
            for _ in 0..decoder.count()? {
                last = last.saturating_add(decoder.uint()?);
                is_there |= last == within;
            }
            if is_there {
                found.push(page);
            }
        }
        decoder.end()?;
        Ok(found)
    }

    /// A hash as the sections have it.
    pub(super) fn reduced(&self, hash: u32) -> u64 {
        reduced(hash, self.width * self.sections.len() as u64)
    }

    /// Calls `each` with pages and the reduced hashes of each, in order, that a section has.
    pub(super) fn each(
        &self,
        number: usize,
        section: &[u8],
        each: &mut impl FnMut(u32, u64),
    ) -> Result<(), Malformed> {
        let mut decoder = Decoder::new(section);
        for page in 0..self.pages {
            let mut last = number as u64 * self.width;
            for _ in 0..decoder.count()? {
                last = last.saturating_add(decoder.uint()?);
                each(page, last);
            }
        }
        decoder.end()
    }

    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(super) fn bytes(&self) -> usize {
        self.sections.capacity() * size_of::<Section>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_with_a_hash_are_found_and_few_others() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..40 {
            let mut hashes = PageHashes::default();
            let pages = random.usize(0..40);
            let mut expected: Vec<Vec<u32>> = Vec::new();
            for _ in 0..pages {
                let of_page: Vec<u32> = (0..random.usize(0..60)).map(|_| random.u32(..)).collect();
                of_page.iter().for_each(|hash| hashes.push(*hash));
                // Some stand there twice.
                of_page.iter().take(3).for_each(|hash| hashes.push(*hash));
                hashes.end_page();
                expected.push(of_page);
            }
            if pages > 0 {
                let (page, hash) = (random.usize(0..=pages), random.u32(..));
                hashes.add(page, hash);
                expected.resize(expected.len().max(page + 1), Vec::new());
                expected[page].push(hash);
            }
            let mut sections: Vec<Vec<u8>> = Vec::new();
            let shards = hashes
                .finish(&mut |raw: &[u8]| {
                    sections.push(raw.to_vec());
                    let offset = sections.len() as u64 - 1;
                    Ok::<_, ()>(Section { offset, ..Section::default() })
                })
                .unwrap();
            let mut encoder = Encoder::default();
            shards.encode(&mut encoder);
            let bytes = encoder.into_bytes();
            assert_eq!(Shards::decode(&mut Decoder::new(&bytes)).as_ref(), Ok(&shards));
            let find = |hash: u32| match shards.section_of(hash) {
                Some(section) => {
                    let raw = &sections[usize::try_from(section.offset).unwrap()];
                    shards.pages_with(hash, raw).unwrap()
                }
                None => Vec::new(),
            };
            for (page, hash) in
                (0..).zip(&expected).flat_map(|(p, of)| of.iter().map(move |h| (p, *h)))
            {
                assert!(find(hash).contains(&page), "round {round}");
            }
            let asked = 200;
            let others: usize = (0..asked).map(|_| find(random.u32(..)).len()).sum();
            assert!(others <= asked * pages / 20 + pages, "round {round}: {others} of {pages}");
        }
    }
}
