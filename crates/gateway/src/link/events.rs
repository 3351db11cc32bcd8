//! Server-sent events (WHATWG HTML, section 9.2.6), as far as MCP uses them: the data of each event, bounded.
//!
//! Our own, because the published parsers neither bound an event nor keep its bytes.

use refmon_core::limits;

/// An event over the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a stream of bytes into the data of its events.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_return: bool,
}

impl Events {
    /// Takes some bytes and gives the data of the events that they complete. The same stream gives the same events
    /// however it is cut. An event without data gives none.
    ///
    /// # Errors
    /// [`TooLong`] if a line or an event is over [`limits::FRAME_BYTES_MAX`]. The stream cannot be read on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut found = Vec::new();
        for &byte in bytes {
            let ends = match byte {
                b'\r' => true,
                b'\n' if self.after_return => {
                    self.after_return = false;
                    continue;
                }
                b'\n' => true,
                _ => false,
            };
            self.after_return = byte == b'\r';
            if ends {
                self.end_of_line(&mut found)?;
            } else if self.line.len() > limits::FRAME_BYTES_MAX {
                return Err(TooLong);
            } else {
                self.line.push(byte);
            }
        }
        Ok(found)
    }

    fn end_of_line(&mut self, found: &mut Vec<Vec<u8>>) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) && !data.is_empty() {
                found.push(data);
            }
            return Ok(());
        }
        let Some(value) = line.strip_prefix(b"data") else { return Ok(()) };
        let value = match value.strip_prefix(b":") {
            Some(value) => value.strip_prefix(b" ").unwrap_or(value),
            None if value.is_empty() => value,
            None => return Ok(()),
        };
        if self.data.len().saturating_add(value.len()) > limits::FRAME_BYTES_MAX {
            return Err(TooLong);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], piece: usize) -> Vec<String> {
        let mut events = Events::default();
        let pieces = text.chunks(piece).flat_map(|chunk| events.push(chunk).unwrap());
        pieces.map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn the_same_events_come_out_however_the_stream_is_cut() {
        let text = b": hello\r\nid: 7\nevent: message\ndata: {\"a\":1}\n\ndata:x\r\ndata: y\r\n\r\ndata\n\nretry: 5\rdata: z\r\rdatum: no\n\ndata: cut";
        for piece in 1..text.len() {
            assert_eq!(all(text, piece), ["{\"a\":1}", "x\ny", "z"], "{piece}");
        }
    }

    #[test]
    fn an_event_over_the_limit_ends_the_stream() {
        let mut events = Events::default();
        let line = [b"data: ".to_vec(), vec![b'x'; limits::FRAME_BYTES_MAX / 2], b"\n".to_vec()].concat();
        assert_eq!(events.push(&line), Ok(Vec::new()));
        assert_eq!(events.push(&line), Ok(Vec::new()));
        assert_eq!(events.push(&line), Err(TooLong));
        let mut endless = Events::default();
        assert_eq!(endless.push(&vec![b'x'; limits::FRAME_BYTES_MAX + 2]), Err(TooLong));
    }
}
