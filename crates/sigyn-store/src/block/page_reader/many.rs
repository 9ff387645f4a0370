//! Values of many rows of a page at once.

use super::{Content, Form, Numbers, Page, WRONG, Words};
use crate::block::hybrid;
use crate::codec::Malformed;

/// Numbers of a page, each decoded.
pub(in crate::block) struct Decoded64<'p> {
    page: &'p Page,
    values: Vec<u64>,
}

impl Decoded64<'_> {
    pub(in crate::block) fn get(&self, row: usize) -> Option<u64> {
        self.values.get(self.page.place(row)?).copied()
    }
}

impl Page {
    /// All numbers of a page of so many rows, for whoever asks for most of them.
    pub(in crate::block) fn all_words64(&self, rows: usize) -> Result<Decoded64<'_>, Malformed> {
        let count = self.count(rows);
        let values = match (&self.decoded.values, self.words.as_deref()) {
            (Content::Plain(Words::Numbers(numbers)), _) => numbers.all_words64().ok_or(WRONG)?,
            (Content::Codes(codes), Some(words)) => {
                let codes = hybrid::decode(&codes.bytes, codes.width, count)?;
                let word = |code: u32| words.word64(code as usize).ok_or(WRONG);
                codes.into_iter().map(word).collect::<Result<_, _>>()?
            }
            _ => return Err(WRONG),
        };
        if values.len() < count { Err(WRONG) } else { Ok(Decoded64 { page: self, values }) }
    }

    /// What [`Page::number`] is of each of these rows, more by one, and zero for a row without value; `None` if
    /// such values have none.
    pub(in crate::block) fn numbers(
        &self,
        rows: usize,
        wanted: &[usize],
    ) -> Result<Vec<Option<u32>>, Malformed> {
        let codes = match &self.decoded.values {
            Content::Codes(codes) => hybrid::decode(&codes.bytes, codes.width, self.count(rows))?,
            _ => Vec::new(),
        };
        let number = |row: &usize| {
            let Some(at) = self.place(*row) else { return Ok(Some(0)) };
            let number = match &self.decoded.values {
                Content::Codes(_) => *codes.get(at).ok_or(WRONG)?,
                Content::Bools(bools) => u32::from(bools.get(at)),
                Content::Ids(_) | Content::Plain(_) => return Ok(None),
            };
            Ok(number.checked_add(1))
        };
        wanted.iter().map(number).collect()
    }

    /// How many of its rows have a value.
    fn count(&self, rows: usize) -> usize {
        match (&self.decoded.present, rows.checked_sub(1)) {
            (Some(present), Some(last)) => present.rank(last) + usize::from(present.get(last)),
            _ => rows,
        }
    }
}

impl Numbers {
    fn all_words64(&self) -> Option<Vec<u64>> {
        let whole = |read: fn([u8; 8]) -> u64| {
            Some(self.bytes.as_chunks().0.iter().copied().map(read).collect())
        };
        match self.form {
            Form::Big64 => whole(u64::from_be_bytes),
            Form::Little64 => whole(u64::from_le_bytes),
            Form::Streams64 => {
                let mut words = vec![0; self.count];
                let streams = self.bytes.chunks_exact(self.count.max(1));
                for (shift, stream) in (0..u64::BITS).step_by(8).zip(streams) {
                    for (word, byte) in words.iter_mut().zip(stream) {
                        *word |= u64::from(*byte) << shift;
                    }
                }
                Some(words)
            }
            Form::Little32 | Form::Streams32 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{open, sealed};
    use super::super::{PageReader, Sort, column};
    use crate::block::schema::{PAGE_ROWS, place};
    use crate::stop::Stop;
    use crate::testing;

    #[test]
    fn many_values_at_once_are_those_of_single_rows() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..8 {
            let spans = (0..random.usize(1..150)).map(|_| testing::span(&mut random)).collect();
            let (disk, entry) = sealed(spans);
            let block = open(&disk, &entry).unwrap();
            let reader = PageReader::new(&block, &Stop::default()).unwrap();
            let tags = &block.root.tag_columns;
            for (group, at) in (0..block.root.groups.len())
                .flat_map(|group| (0..place::TAGS + tags.len()).map(move |at| (group, at)))
            {
                let count = block.root.groups[group].rows as usize;
                let (sort, _) = column(at, tags);
                let is_list = (place::ANNOTATION_TIME..=place::ANNOTATION_TAGS).contains(&at);
                for page in 0..count.div_ceil(PAGE_ROWS) {
                    let rows = page * PAGE_ROWS..count.min((page + 1) * PAGE_ROWS);
                    let len = rows.len();
                    let Some(page) = reader.page(group, at, page, rows).unwrap() else { continue };
                    if is_list {
                        continue;
                    }
                    let wanted: Vec<usize> = (0..len).filter(|_| random.bool()).collect();
                    let one = |row: &usize| match page.has(*row) {
                        true => page.number(*row).map(|number| number + 1),
                        false => Some(0),
                    };
                    let expected: Vec<Option<u32>> = wanted.iter().map(one).collect();
                    assert_eq!(page.numbers(len, &wanted).unwrap(), expected, "column {at}");
                    if matches!(sort, Sort::Words64 | Sort::SpanIds) {
                        let all = page.all_words64(len).unwrap();
                        let is_same = |row: usize| all.get(row) == page.word64(row);
                        assert!((0..len).all(is_same), "column {at}");
                    } else {
                        assert!(page.all_words64(len).is_err() || page.count(len) == 0);
                    }
                }
            }
        }
    }
}
