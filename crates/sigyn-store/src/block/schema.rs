//! The columns of a block, for us and for every other reader of Parquet files.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::errors::Result;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

/// One row per span, before the columns of tags. `docs/formats/block.md` says what each column means.
const MESSAGE: &str = "
message sigyn_span {
  required fixed_len_byte_array(16) trace_id;
  required fixed_len_byte_array(8) span_id;
  optional int32 parent_delta;
  optional fixed_len_byte_array(8) parent_id;
  optional binary kind (STRING);
  optional binary name (STRING);
  optional int64 start_ns (INTEGER(64, false));
  optional int64 duration_ns (INTEGER(64, false));
  optional binary local_service (STRING);
  optional binary local_ip (STRING);
  optional int32 local_port (INTEGER(16, false));
  optional binary remote_service (STRING);
  optional binary remote_ip (STRING);
  optional int32 remote_port (INTEGER(16, false));
  optional boolean shared;
  optional boolean debug;
  optional binary status (STRING);
  optional binary status_message (STRING);
  optional binary trace_state (STRING);
  optional int32 flags (INTEGER(32, false));
  optional binary resource (STRING);
  optional binary scope (STRING);
  optional binary target (STRING);
  required group annotations (LIST) {
    repeated group list {
      required group element {
        required int64 timestamp_ns (INTEGER(64, false));
        required binary value (STRING);
        optional binary attributes (STRING);
      }
    }
  }
  optional binary links (STRING);
  optional binary tag_shape;
  optional binary attrs_rest (STRING);
  optional binary ext;
}";

/// Leaf columns by their place in the file; those of tags follow.
pub(super) mod place {
    pub(in crate::block) const TRACE_ID: usize = 0;
    pub(in crate::block) const SPAN_ID: usize = 1;
    pub(in crate::block) const PARENT_DELTA: usize = 2;
    pub(in crate::block) const PARENT_ID: usize = 3;
    pub(in crate::block) const KIND: usize = 4;
    pub(in crate::block) const NAME: usize = 5;
    pub(in crate::block) const START: usize = 6;
    pub(in crate::block) const DURATION: usize = 7;
    /// Service, address and port, in this order.
    pub(in crate::block) const LOCAL: usize = 8;
    pub(in crate::block) const REMOTE: usize = 11;
    pub(in crate::block) const SHARED: usize = 14;
    pub(in crate::block) const DEBUG: usize = 15;
    pub(in crate::block) const STATUS: usize = 16;
    pub(in crate::block) const STATUS_MESSAGE: usize = 17;
    pub(in crate::block) const TRACE_STATE: usize = 18;
    pub(in crate::block) const FLAGS: usize = 19;
    pub(in crate::block) const RESOURCE: usize = 20;
    pub(in crate::block) const SCOPE: usize = 21;
    pub(in crate::block) const TARGET: usize = 22;
    pub(in crate::block) const ANNOTATION_TIME: usize = 23;
    pub(in crate::block) const ANNOTATION_VALUE: usize = 24;
    pub(in crate::block) const ANNOTATION_TAGS: usize = 25;
    pub(in crate::block) const LINKS: usize = 26;
    pub(in crate::block) const TAG_SHAPE: usize = 27;
    pub(in crate::block) const TAGS_REST: usize = 28;
    pub(in crate::block) const EXT: usize = 29;
    pub(in crate::block) const TAGS: usize = 30;
}

/// A column of the values that one key of tags has, those of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagColumn {
    pub(crate) key: String,
    pub(crate) sort: TagSort,
    /// Whether the column's name says its type, too: another column has the values of another type.
    pub(crate) is_second: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TagSort {
    Text,
    Int,
    Double,
    Bool,
}

pub(super) const TAG_SORTS: [TagSort; 4] =
    [TagSort::Text, TagSort::Int, TagSort::Double, TagSort::Bool];

impl TagColumn {
    pub(super) fn name(&self) -> String {
        let Self { key, sort, is_second } = self;
        let suffix = match sort {
            _ if !is_second => "",
            TagSort::Text => "#str",
            TagSort::Int => "#i64",
            TagSort::Double => "#f64",
            TagSort::Bool => "#bool",
        };
        format!("attr.{key}{suffix}")
    }
}

/// The schema of a block with these columns of tags.
pub(super) fn schema(tags: &[TagColumn]) -> Result<SchemaDescPtr> {
    let message = parse_message_type(MESSAGE)?;
    let mut fields = message.get_fields().to_vec();
    for column in tags {
        let name = column.name();
        let field = |physical| {
            Type::primitive_type_builder(&name, physical).with_repetition(Repetition::OPTIONAL)
        };
        let field = match column.sort {
            TagSort::Text => {
                field(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String))
            }
            TagSort::Int => field(Physical::INT64),
            TagSort::Double => field(Physical::DOUBLE),
            TagSort::Bool => field(Physical::BOOLEAN),
        };
        fields.push(Arc::new(field.build()?));
    }
    let message = Type::group_type_builder(message.name()).with_fields(fields).build()?;
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(message))))
}

/// Rows that have dictionaries of their own.
pub(crate) const GROUP_ROWS: usize = if cfg!(test) { 1_000 } else { 128 * 1_024 };
/// A group that takes more memory than this is written, however few rows it has.
pub(crate) const GROUP_BYTES: u64 = if cfg!(test) { 4 << 20 } else { 64 << 20 };
/// Rows that are decompressed together.
pub(crate) const PAGE_ROWS: usize = if cfg!(test) { 64 } else { 8 * 1_024 };
/// Keys of tags that get a column of their own.
pub(crate) const TAG_COLUMNS_MAX: usize = if cfg!(test) { 9 } else { 200 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_where_their_places_say() {
        let tag = |key: &str, sort, is_second| TagColumn { key: key.to_owned(), sort, is_second };
        let tags = [tag("a.b", TagSort::Text, false), tag("a.b", TagSort::Int, true)];
        let schema = schema(&tags).unwrap();
        let name = |at: usize| schema.column(at).path().string();
        assert_eq!(name(place::PARENT_DELTA), "parent_delta");
        assert_eq!(name(place::DURATION), "duration_ns");
        assert_eq!(name(place::LOCAL + 2), "local_port");
        assert_eq!(name(place::REMOTE), "remote_service");
        assert_eq!(name(place::FLAGS), "flags");
        assert_eq!(name(place::TARGET), "target");
        assert_eq!(name(place::ANNOTATION_TAGS), "annotations.list.element.attributes");
        assert_eq!(name(place::EXT), "ext");
        assert_eq!(
            (name(place::TAGS), name(place::TAGS + 1)),
            ("attr.a.b".into(), "attr.a.b#i64".into())
        );
        assert_eq!(schema.num_columns(), place::TAGS + 2);
    }
}
