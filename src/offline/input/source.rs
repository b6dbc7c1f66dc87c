//! Reads files, directories and the standard input. The only file here that accesses the file system.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The argument for the standard input.
pub const STANDARD_INPUT: &str = "-";
/// The maximum size of a file.
const BYTES_MAX: u64 = 64 << 20;
/// The extensions of files that are read in a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The text of a file, of the standard input or of an object in a cluster.
#[derive(Clone, Debug)]
pub struct InputFile {
    name: String,
    text: String,
    /// The byte offset of each line.
    lines: Vec<usize>,
    /// Whether every character is one byte: then columns need no counting.
    is_ascii: bool,
}

/// A line and a column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A file or directory that could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// The file or directory.
    pub file: String,
    /// The position of the error, if the file could be opened.
    pub position: Option<Position>,
    /// The reason.
    pub message: String,
}

impl InputFile {
    /// A text and its name in messages.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let is_ascii = text.is_ascii();
        Self { name: name.into(), text, lines, is_ascii }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The position of a byte.
    pub fn position(&self, at: usize) -> Position {
        let at = self.text.floor_char_boundary(at.min(self.text.len()));
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line - 1];
        let characters = if self.is_ascii { at - start } else { self.text[start..at].chars().count() };
        Position { line, column: characters + 1 }
    }

    /// `count` characters of a line, or fewer, after the first `skipped`.
    pub fn part(&self, line: usize, skipped: usize, count: usize) -> &str {
        let line = self.line(line);
        let byte = |line: &str, characters: usize| {
            if self.is_ascii {
                return characters.min(line.len());
            }
            line.char_indices().nth(characters).map_or(line.len(), |(at, _)| at)
        };
        let rest = &line[byte(line, skipped)..];
        &rest[..byte(rest, count)]
    }

    /// A line, from 1, without its line break.
    pub fn line(&self, line: usize) -> &str {
        let start = self.lines.get(line.wrapping_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

/// Reads files, directories and, for `-`, the standard input; in the order given, directories in the order of names.
pub fn read<S: AsRef<str>>(arguments: &[S], standard_input: &mut dyn Read) -> (Vec<InputFile>, Vec<Unreadable>) {
    let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for argument in arguments.iter().map(AsRef::as_ref) {
        if argument == STANDARD_INPUT {
            if seen.insert(PathBuf::from(argument)) {
                let text = text_of(standard_input).and_then(|text| {
                    // Otherwise a pipe whose first command failed would pass every check.
                    let empty = || io::Error::other("empty input: did the command before it fail?");
                    if text.trim().is_empty() { Err(empty()) } else { Ok(text) }
                });
                add("stdin", text, &mut sources, &mut unreadable);
            }
            continue;
        }
        let path = Path::new(argument);
        let mut files = Vec::new();
        if path.is_dir() {
            collect(path, &mut files, &mut unreadable);
            if files.is_empty() {
                let message = "no *.yaml, *.yml or *.json file in it".to_owned();
                unreadable.push(Unreadable { file: argument.to_owned(), position: None, message });
            }
        } else {
            files.push(path.to_owned());
        }
        for file in files.into_iter().filter(|file| seen.insert(file.clone())) {
            let text = std::fs::File::open(&file).and_then(|mut file| text_of(&mut file));
            add(&file.to_string_lossy(), text, &mut sources, &mut unreadable);
        }
    }
    (sources, unreadable)
}

fn add(name: &str, text: io::Result<String>, sources: &mut Vec<InputFile>, unreadable: &mut Vec<Unreadable>) {
    match text {
        Ok(text) => sources.push(InputFile::new(name, text)),
        Err(error) => {
            let message = error.to_string();
            unreadable.push(Unreadable { file: name.to_owned(), position: None, message });
        }
    }
}

fn text_of(input: &mut dyn Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("larger than {} MiB", BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|byte| *byte == b'\n').count();
        io::Error::other(format!("not UTF-8 in line {line}"))
    })
}

/// The files of a directory, in order. Hidden directories (`.git`, `.github`) are not meant to be applied, and links to
/// directories are not followed: they may form a cycle.
fn collect(directory: &Path, files: &mut Vec<PathBuf>, unreadable: &mut Vec<Unreadable>) {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let (file, message) = (directory.to_string_lossy().into_owned(), error.to_string());
            return unreadable.push(Unreadable { file, position: None, message });
        }
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                collect(&path, files, unreadable);
            }
        } else if path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
            // Not a link to a directory, and no pipe that would block.
            && path.metadata().is_ok_and(|metadata| metadata.is_file())
        {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = InputFile::new("f", "\u{feff}ä: b\r\nc\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position("ä".len()), Position { line: 1, column: 2 });
        assert_eq!(source.position("ä: b\r\n".len()), Position { line: 2, column: 1 });
        assert_eq!(source.position(1_000), Position { line: 3, column: 1 });
        assert_eq!([1, 2, 3, 9].map(|line| source.line(line)), ["ä: b", "c", "", ""]);
        assert_eq!([(0, 2), (1, 9), (9, 1)].map(|(skipped, count)| source.part(1, skipped, count)), ["ä:", ": b", ""]);
        let ascii = InputFile::new("f", "a: b\r\nc\n");
        assert_eq!(ascii.position(2), Position { line: 1, column: 3 });
        assert_eq!([(0, 2), (1, 9), (9, 1)].map(|(skipped, count)| ascii.part(1, skipped, count)), ["a:", ": b", ""]);
    }

    #[test]
    fn directories_are_read_in_order_without_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for directory in ["b", ".git"] {
            std::fs::create_dir(root.join(directory)).unwrap();
        }
        for file in ["z.yaml", "a.yml", "b/c.json", ".git/no.yaml", "readme.md"] {
            std::fs::write(root.join(file), "x: 1").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/loop.yaml")).unwrap();
        let (sources, unreadable) = read(&[root.to_str().unwrap()], &mut io::empty());
        let names: Vec<_> =
            sources.iter().map(|source| source.name().trim_start_matches(root.to_str().unwrap())).collect();
        assert_eq!(names, ["/a.yml", "/b/c.json", "/z.yaml"]);
        assert_eq!(unreadable, []);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.yaml");
        std::fs::write(&bad, b"a: 1\nb: \xff\n").unwrap();
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let arguments = [bad.to_str().unwrap(), "missing.yaml", empty.to_str().unwrap(), "-", "-"];
        let (sources, unreadable) = read(&arguments, &mut "kind: List".as_bytes());
        assert_eq!(sources.iter().map(InputFile::name).collect::<Vec<_>>(), ["stdin"]);
        let messages: Vec<_> = unreadable.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(messages[0], "not UTF-8 in line 2");
        assert!(messages[1].starts_with("No such file"));
        assert_eq!(messages[2], "no *.yaml, *.yml or *.json file in it");
    }
}
