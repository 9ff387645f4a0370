//! Reading XML an element at a time: what is not asked for is passed over, however much it is.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, escape};

pub(super) type Xml<'a> = Reader<&'a [u8]>;

/// Why a text is no XML.
#[derive(Debug, thiserror::Error)]
pub(super) enum XmlError {
    #[error("the answer is not valid XML")]
    Syntax(#[from] quick_xml::Error),
    #[error("the answer is not valid XML")]
    Attribute(#[from] quick_xml::events::attributes::AttrError),
    #[error("the answer ends too early")]
    End,
    #[error("unknown entity {0:?}")]
    Entity(String),
}

/// A text, before its outermost element.
pub(super) fn whole(text: &str) -> Xml<'_> {
    let mut xml = Reader::from_str(text);
    xml.config_mut().expand_empty_elements = true;
    xml
}

/// The next element inside the one that is being read; `None` at its end.
pub(super) fn child<'a>(xml: &mut Xml<'a>) -> Result<Option<BytesStart<'a>>, XmlError> {
    loop {
        match xml.read_event()? {
            Event::Start(element) => return Ok(Some(element)),
            Event::End(_) => return Ok(None),
            Event::Eof => return Err(XmlError::End),
            _ => {}
        }
    }
}

/// The text of the element that is being read, without that of elements inside.
pub(super) fn content(xml: &mut Xml<'_>) -> Result<String, XmlError> {
    let mut text = String::new();
    loop {
        match xml.read_event()? {
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(entity) => match entity.resolve_char_ref()? {
                Some(c) => text.push(c),
                None => {
                    let known = escape::resolve_predefined_entity(&entity);
                    text.push_str(known.ok_or_else(|| XmlError::Entity(entity.to_string()))?);
                }
            },
            Event::Start(element) => skip(xml, &element)?,
            Event::End(_) => return Ok(text),
            Event::Eof => return Err(XmlError::End),
            _ => {}
        }
    }
}

pub(super) fn skip(xml: &mut Xml<'_>, element: &BytesStart<'_>) -> Result<(), XmlError> {
    xml.read_to_end(element.name())?;
    Ok(())
}

/// Goes into the next element of a name, however deep it is.
#[cfg(feature = "aws")]
pub(super) fn find(xml: &mut Xml<'_>, name: &str) -> Result<(), XmlError> {
    loop {
        match xml.read_event()? {
            Event::Start(element) if element.local_name().as_ref() == name => return Ok(()),
            Event::Eof => return Err(XmlError::End),
            _ => {}
        }
    }
}
