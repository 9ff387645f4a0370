//! The columns of a block, for us and for every other reader of Parquet files.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};

/// One row per span. `docs/formats/block.md` says what each column means.
const MESSAGE: &str = "
message sigyn_span {
  required fixed_len_byte_array(16) trace_id;
  required fixed_len_byte_array(8) span_id;
  optional fixed_len_byte_array(8) parent_id;
  optional binary kind (STRING);
  required binary name (STRING);
  optional int64 start_ns (INTEGER(64, false));
  optional int64 duration_ns (INTEGER(64, false));
  optional binary local_service (STRING);
  optional binary local_ip (STRING);
  optional int32 local_port (INTEGER(16, false));
  optional binary remote_service (STRING);
  optional binary remote_ip (STRING);
  optional int32 remote_port (INTEGER(16, false));
  required boolean shared;
  required boolean debug;
  required group tags (MAP) {
    repeated group key_value { required binary key (STRING); required binary value (STRING); }
  }
  required group annotations (LIST) {
    repeated group list {
      required group element {
        required int64 timestamp_ns (INTEGER(64, false));
        required binary value (STRING);
      }
    }
  }
  optional group target (MAP) {
    repeated group key_value { required binary key (STRING); required binary value (STRING); }
  }
  optional binary resource;
  optional binary scope;
  optional binary ext;
}";

pub(crate) fn schema() -> Result<TypePtr> {
    parse_message_type(MESSAGE).map(Arc::new)
}

pub(crate) fn is_ours(descriptor: &SchemaDescriptor) -> bool {
    schema().is_ok_and(|schema| {
        // The root's own attributes are not kept by the format.
        descriptor.root_schema().get_fields() == schema.get_fields()
    })
}

/// Rows that are checked, decompressed and searched together.
pub(crate) const GROUP_ROWS: usize = 32 * 1_024;
/// A group that takes more memory than this is written, however few rows it has: it is what a
/// query must read, and what a store that is being closed may still be busy with.
pub(crate) const GROUP_BYTES: u64 = 32 << 20;
const PAGE_ROWS: usize = 4 * 1_024;

/// What does not repeat is not worth a dictionary; numbers that differ in their low bytes are worth
/// being split into streams of bytes.
pub(crate) fn properties() -> Result<WriterProperties> {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("sigyn".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(64))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_column_encoding(column("trace_id"), Encoding::DELTA_BYTE_ARRAY)
        .set_column_encoding(column("start_ns"), Encoding::BYTE_STREAM_SPLIT)
        .set_column_encoding(column("duration_ns"), Encoding::BYTE_STREAM_SPLIT)
        .set_column_encoding(column("span_id"), Encoding::PLAIN)
        .set_column_encoding(column("parent_id"), Encoding::PLAIN);
    for name in ["trace_id", "span_id", "parent_id", "start_ns", "duration_ns"] {
        properties = properties.set_column_dictionary_enabled(column(name), false);
    }
    let tags = ["key", "value"]
        .map(|leaf| ColumnPath::new(vec!["tags".into(), "key_value".into(), leaf.into()]));
    for path in tags.into_iter().chain([column("span_id")]) {
        // A least and a greatest of these say nothing, and are dear to find.
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    // Random, or a few bits already: compression gains nothing, and every reader pays for it.
    for name in ["span_id", "parent_id", "kind", "local_port", "remote_port", "shared", "debug"] {
        properties = properties.set_column_compression(column(name), Compression::UNCOMPRESSED);
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_parses_and_knows_itself() {
        let schema = schema().unwrap();
        assert_eq!(schema.get_fields().len(), 21);
        assert!(is_ours(&SchemaDescriptor::new(schema)));
        assert!(properties().is_ok());
    }
}
