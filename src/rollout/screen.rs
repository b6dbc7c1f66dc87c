//! Where progress is shown: lines, and on a terminal one more line at their end, which changes.

use std::io::{self, ErrorKind, IsTerminal as _, Write};

/// The columns that every terminal has. A line that wraps could not be taken back.
const COLUMNS: usize = 79;
/// Back to the beginning of the line, and removes it.
const CLEAR: &str = "\r\x1b[K";

/// An output while a command runs.
pub(super) struct Screen {
    output: Box<dyn Write>,
    is_terminal: bool,
    /// Whether the last line is one that changes.
    has_status: bool,
    /// The first failure of a write.
    failed: Option<io::Error>,
}

impl Screen {
    /// The standard output of this process.
    pub fn of_process() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self::new(Box::new(io::stdout()), io::stdout().is_terminal() && !is_dumb)
    }

    pub fn new(output: Box<dyn Write>, is_terminal: bool) -> Self {
        Self { output, is_terminal, has_status: false, failed: None }
    }

    /// Prints lines that stay, each with its end.
    pub fn print(&mut self, lines: &str) {
        let text = self.in_place_of_status(lines);
        self.write(&text);
    }

    /// Shows the line that changes; only on a terminal.
    pub fn status(&mut self, line: impl FnOnce() -> String) {
        if self.is_terminal {
            let line: String = line().chars().take(COLUMNS).collect();
            let text = self.in_place_of_status(&line);
            self.write(&text);
            self.has_status = true;
        }
    }

    /// Why something could not be written, if so.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    fn in_place_of_status(&mut self, text: &str) -> String {
        let clear = if std::mem::take(&mut self.has_status) { CLEAR } else { "" };
        format!("{clear}{text}")
    }

    /// A reader that closed its pipe has read enough; what cannot be written does not stop what is going on.
    fn write(&mut self, text: &str) {
        match self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(self.failed.get_or_insert(error)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::OpenOptions;
    use std::io::{Read as _, pipe};

    use super::*;

    fn shown(is_terminal: bool) -> String {
        let (mut reader, writer) = pipe().unwrap();
        let mut screen = Screen::new(Box::new(writer), is_terminal);
        screen.print("begins\n");
        screen.status(|| "1 of 2".to_owned());
        screen.status(|| "2 of 2, ".to_owned() + &"x".repeat(100));
        screen.print("ends\nhere\n");
        assert!(screen.failure().is_none());
        drop(screen);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_terminal_has_one_line_that_changes_and_others_have_none() {
        let wide = "x".repeat(COLUMNS - "2 of 2, ".len());
        let expected = format!("begins\n1 of 2\r\x1b[K2 of 2, {wide}\r\x1b[Kends\nhere\n");
        assert_eq!(shown(true), expected);
        assert_eq!(shown(false), "begins\nends\nhere\n");
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_device_is() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut screen = Screen::new(Box::new(writer), false);
        screen.print("nobody reads this\n");
        assert!(screen.failure().is_none());
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut screen = Screen::new(Box::new(full), false);
        screen.print("no room for this\n");
        assert_eq!(screen.failure().unwrap().kind(), ErrorKind::StorageFull);
    }
}
