//! HTTP/1.1 as it is on the wire. A parser of our own is the point: what a library tidies up, this shows.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;

pub type Reader<'a> = BufReader<&'a TcpStream>;
/// The header lines in their order, names in lower case.
pub type Headers = Vec<(String, String)>;

/// All values of a header, joined as one.
pub fn header(headers: &Headers, name: &str) -> Option<String> {
    let mut values = headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
    let first = values.next()?.to_owned();
    Some(values.fold(first, |all, value| format!("{all},{value}")))
}

/// The first line of the next message, and its headers; none at the end of the connection.
pub fn read_head(reader: &mut Reader<'_>) -> std::io::Result<Option<(String, Headers)>> {
    let Some(first) = read_line(reader)? else { return Ok(None) };
    let mut headers = Vec::new();
    while let Some(line) = read_line(reader)?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(Some((first, headers)))
}

/// The body that these headers announce.
pub fn read_body(reader: &mut Reader<'_>, headers: &Headers) -> std::io::Result<String> {
    let mut body = Vec::new();
    if header(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        while let Some(line) = read_line(reader)? {
            let length = u64::from_str_radix(line.trim(), 16).unwrap_or_default();
            reader.take(length).read_to_end(&mut body)?;
            read_line(reader)?;
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = header(headers, "content-length").and_then(|length| length.parse().ok()) {
        reader.take(length).read_to_end(&mut body)?;
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// A line without its end.
fn read_line(reader: &mut Reader<'_>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}
