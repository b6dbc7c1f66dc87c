//! Readings that a swap interrupts at a chosen moment, and every error of the file system.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

/// A volume as the kubelet lays it out: `tls.*` -> `..data/tls.*`, `..data` -> a directory of its own per version.
fn volume() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), "1");
    symlink("..data/tls.crt", dir.path().join("tls.crt")).unwrap();
    symlink("..data/tls.key", dir.path().join("tls.key")).unwrap();
    dir
}

fn publish(dir: &Path, version: &str) {
    let name = format!("..version_{version}");
    fs::create_dir(dir.join(&name)).unwrap();
    fs::write(dir.join(&name).join("tls.crt"), format!("crt {version}")).unwrap();
    fs::write(dir.join(&name).join("tls.key"), format!("key {version}")).unwrap();
    symlink(&name, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

fn texts(pair: &PemPair) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&pair.certificate), text(&pair.key))
}

fn pair(version: &str) -> (String, String) {
    (format!("crt {version}"), format!("key {version}"))
}

fn fault(dir: &Path) -> String {
    let Err(error) = FileSource::new(dir).read_files() else { panic!("{} was read without an error", dir.display()) };
    error.to_string()
}

#[test]
fn a_swap_between_the_two_files_leads_to_the_new_pair() {
    for remove_old in [false, true] {
        let dir = volume();
        let mut swapped = false;
        let read = read_pair(dir.path(), Resolved::of, |path, resolved, part| {
            if part == Part::Key && !swapped {
                swapped = true;
                publish(dir.path(), "2");
                if remove_old {
                    fs::remove_dir_all(dir.path().join("..version_1")).unwrap();
                }
            }
            read_file(path, resolved, part)
        });
        assert_eq!(texts(&read.unwrap()), pair("2"));
    }
}

#[test]
fn a_swap_before_the_first_file_is_read_leads_to_the_new_pair() {
    let dir = volume();
    let mut reads = 0;
    let read = read_pair(dir.path(), Resolved::of, |path, resolved, part| {
        reads += 1;
        if reads == 1 {
            publish(dir.path(), "2");
            fs::remove_dir_all(dir.path().join("..version_1")).unwrap();
        }
        read_file(path, resolved, part)
    });
    assert_eq!(texts(&read.unwrap()), pair("2"));
    assert_eq!(reads, 4, "the first reading must not count");
}

/// The kubelet removes the old directory right after the rename: a path being resolved just then leads nowhere.
#[test]
fn a_fault_that_passes_is_no_fault_and_one_that_stays_is_told() {
    for (faults, read_well) in [(1, true), (ATTEMPTS - 1, true), (ATTEMPTS, false)] {
        let dir = volume();
        let mut resolutions = 0;
        let missing = FileError::MissingFile { path: dir.path().join("tls.key"), part: Part::Key };
        let resolve = |dir: &Path| {
            resolutions += 1;
            if resolutions <= faults { Err(missing.clone()) } else { Resolved::of(dir) }
        };
        let read = read_pair(dir.path(), resolve, read_file).map(|pair| texts(&pair));
        let expected = if read_well { Ok(pair("1")) } else { Err(missing) };
        assert_eq!(read, expected, "{faults} faults");
    }
}

#[test]
fn a_whole_directory_may_be_swapped_by_its_link() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["1", "2"] {
        let real = dir.path().join(version);
        fs::create_dir(&real).unwrap();
        fs::write(real.join("tls.crt"), format!("crt {version}")).unwrap();
        fs::write(real.join("tls.key"), format!("key {version}")).unwrap();
    }
    let link = dir.path().join("live");
    symlink("1", &link).unwrap();
    let mut swapped = false;
    let read = read_pair(&link, Resolved::of, |path, resolved, part| {
        if part == Part::Key && !swapped {
            swapped = true;
            symlink("2", dir.path().join("next")).unwrap();
            fs::rename(dir.path().join("next"), &link).unwrap();
        }
        read_file(path, resolved, part)
    });
    assert_eq!(texts(&read.unwrap()), pair("2"));
}

#[test]
fn files_in_two_directories_are_read_when_they_stay_there() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, name) in [("certs", "tls.crt"), ("private", "tls.key")] {
        let real = dir.path().join(folder);
        fs::create_dir(&real).unwrap();
        fs::write(real.join("file.pem"), name).unwrap();
        symlink(real.join("file.pem"), dir.path().join(name)).unwrap();
    }
    let read = FileSource::new(dir.path()).read_files().unwrap();
    assert_eq!(texts(&read), ("tls.crt".to_owned(), "tls.key".to_owned()));
}

#[test]
fn endless_swaps_are_reported_as_such() {
    let dir = volume();
    let mut version = 1;
    let read = read_pair(dir.path(), Resolved::of, |path, resolved, part| {
        version += 1;
        publish(dir.path(), &version.to_string());
        read_file(path, resolved, part)
    });
    assert_eq!(
        read.map(|pair| texts(&pair)).unwrap_err().to_string(),
        format!(
            "{}: files changed during every one of 32 readings; they are read again at the next poll",
            dir.path().display()
        )
    );
}

#[test]
fn a_directory_that_is_none_is_named() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("missing");
    assert_eq!(
        fault(&missing),
        format!("{}: no such directory; create it with tls.crt and tls.key inside", missing.display())
    );
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(
        fault(&file),
        format!("{}: not a directory; name the directory that holds tls.crt and tls.key", file.display())
    );
    let link = root.path().join("link");
    symlink("nowhere", &link).unwrap();
    assert_eq!(
        fault(&link),
        format!("{}: link to nowhere, which does not exist; restore the target or replace the link", link.display())
    );
}

#[test]
fn a_path_that_is_no_file_is_named_with_what_belongs_there() {
    /// What is put where the file belongs, and the end of the message.
    type Case = (&'static str, fn(&Path), &'static str);
    let cases: [Case; 4] = [
        ("missing", |_| {}, "no such file; put the WHAT there as PEM"),
        (
            "directory",
            |path| fs::create_dir(path).unwrap(),
            "is a directory; replace it with a file that holds the WHAT as PEM",
        ),
        (
            "socket",
            |path| drop(UnixListener::bind(path).unwrap()),
            "not a regular file; replace it with a file that holds the WHAT as PEM",
        ),
        (
            "too large",
            |path| {
                fs::File::create(path).unwrap().set_len(MAX_BYTES + 1).unwrap();
            },
            "larger than 1048576 bytes; put only the WHAT there",
        ),
    ];
    for (bad, good, what) in [("tls.crt", "tls.key", "certificate chain"), ("tls.key", "tls.crt", "private key")] {
        for (case, make, message) in cases {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(good), "fine").unwrap();
            let path = dir.path().join(bad);
            make(&path);
            let expected = format!("{}: {}", path.display(), message.replace("WHAT", what));
            assert_eq!(fault(dir.path()), expected, "{case}");
        }
    }
}

#[test]
fn a_link_in_a_circle_gives_the_systems_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tls.crt");
    symlink("tls.crt", &path).unwrap();
    let message = fault(dir.path());
    assert!(message.starts_with(&format!("{}: cannot be read (", path.display())), "{message}");
    assert!(message.ends_with("); check the volume it is on"), "{message}");
}

#[test]
fn a_refused_permission_is_named() {
    let path = Path::new("/certs/tls.key");
    let error = io::Error::from(io::ErrorKind::PermissionDenied);
    assert_eq!(
        unreadable(path, &error).to_string(),
        "/certs/tls.key: permission denied; let the user of this process read it"
    );
}

#[test]
fn a_file_without_read_permission_is_refused_to_all_but_root() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tls.crt", "tls.key"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let path = dir.path().join("tls.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let read = FileSource::new(dir.path()).read_files();
    // Root may read everything, so ask the system itself what it grants.
    match fs::File::open(&path) {
        Ok(_) => assert_eq!(texts(&read.unwrap()).1, "tls.key"),
        Err(_) => assert_eq!(read.map(|pair| texts(&pair)), Err(FileError::PermissionDenied { path })),
    }
}
