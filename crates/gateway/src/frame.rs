//! Frames over standard streams: one message per line (MCP specification, transports, stdio), bounded.

use std::io::{self, BufRead};

use refmon_core::limits;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line without its end.
    Line(Vec<u8>),
    /// A line over [`limits::FRAME_BYTES_MAX`]. It was skipped; the stream goes on behind it.
    TooLong,
    /// The stream ended. A last line without an end is not a message.
    End,
}

/// Reads the next line that is not empty. Memory stays within the limit whatever the other side sends.
///
/// # Errors
/// An error of the stream.
pub fn read(stream: &mut impl BufRead) -> io::Result<Frame> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let buffer = match stream.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            return Ok(Frame::End);
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(buffer.len());
        too_long = too_long || line.len().saturating_add(taken) > limits::FRAME_BYTES_MAX;
        if too_long {
            line = Vec::new();
        } else {
            line.extend(buffer.iter().take(taken));
        }
        stream.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            if too_long {
                return Ok(Frame::TooLong);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Frame::Line(line));
            }
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_read_whole_and_a_cut_line_is_no_message() {
        let mut stream = BufReader::with_capacity(3, &b"{\"a\":1}\n\n  \r\n{}\r\n{\"cut\":"[..]);
        assert_eq!(read(&mut stream).unwrap(), Frame::Line(b"{\"a\":1}".to_vec()));
        assert_eq!(read(&mut stream).unwrap(), Frame::Line(b"{}\r".to_vec()));
        assert_eq!(read(&mut stream).unwrap(), Frame::End);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_read() {
        let mut bytes = vec![b'x'; limits::FRAME_BYTES_MAX + 1];
        bytes.extend(b"\n{}\n");
        let mut stream = BufReader::new(&bytes[..]);
        assert_eq!(read(&mut stream).unwrap(), Frame::TooLong);
        assert_eq!(read(&mut stream).unwrap(), Frame::Line(b"{}".to_vec()));
    }
}
