use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

struct Volume {
    directory: TempDir,
}

impl Volume {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn open(&self) -> TokenFile {
        let mut file = TokenFile::new(self.directory.path(), 0o640);
        file.open_or_reopen().expect("opened");
        file
    }

    fn directory(&self) -> PathBuf {
        self.directory.path().join(TOKEN_SUBDIRECTORY)
    }

    fn file(&self) -> PathBuf {
        self.directory().join(TOKEN_FILE_NAME)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).expect("listed");
        entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect()
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[tokio::test(flavor = "current_thread")]
async fn the_file_has_exactly_the_token_and_its_mode() {
    let volume = Volume::new();
    let mut file = volume.open();
    file.write(&secret("first")).expect("written");
    let before = fs::metadata(volume.file()).expect("there").ino();
    file.write(&secret("second, longer")).expect("written");
    let metadata = fs::metadata(volume.file()).expect("there");
    assert_eq!(fs::read(volume.file()).expect("readable"), b"second, longer");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    assert_ne!(metadata.ino(), before, "replaced, not written over");
    let directory = fs::metadata(volume.directory()).expect("there");
    assert_eq!(directory.permissions().mode() & 0o777, 0o777);
    assert_eq!(volume.names(), [TOKEN_FILE_NAME]);
}

#[tokio::test(flavor = "current_thread")]
async fn links_and_directories_that_a_job_planted_are_not_followed() {
    let volume = Volume::new();
    let victim = volume.directory.path().join("victim");
    fs::write(&victim, "precious").expect("written");
    let mut file = volume.open();
    symlink(&victim, volume.file()).expect("planted");
    file.write(&secret("token")).expect("written");
    assert!(
        fs::symlink_metadata(volume.file()).expect("there").is_file(),
        "the link was replaced"
    );
    fs::remove_file(volume.file()).expect("removed");
    fs::create_dir(volume.file()).expect("planted");
    file.write(&secret("token")).expect("written");
    assert_eq!(fs::read(volume.file()).expect("readable"), b"token");
    assert_eq!(fs::read(&victim).expect("readable"), b"precious");
}

#[tokio::test(flavor = "current_thread")]
async fn a_directory_that_cannot_be_replaced_is_an_error_and_leaves_nothing() {
    let volume = Volume::new();
    let mut file = volume.open();
    fs::create_dir_all(volume.file().join("full")).expect("planted");
    file.write(&secret("token"))
        .expect_err("a directory with something in it");
    assert_eq!(volume.names(), [TOKEN_FILE_NAME]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_link_in_place_of_the_directory_is_replaced_and_a_moved_directory_changes_nothing() {
    let volume = Volume::new();
    let elsewhere = tempfile::tempdir().expect("a directory");
    symlink(elsewhere.path(), volume.directory()).expect("planted");
    let mut file = volume.open();
    assert!(fs::symlink_metadata(volume.directory()).expect("there").is_dir());
    let moved = volume.directory.path().join("moved");
    fs::rename(volume.directory(), &moved).expect("moved");
    symlink(elsewhere.path(), volume.directory()).expect("planted");
    file.write(&secret("token")).expect("written");
    assert_eq!(fs::read(moved.join(TOKEN_FILE_NAME)).expect("readable"), b"token");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("listed").count(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn leftovers_of_a_killed_run_are_removed_and_the_token_is_kept() {
    let volume = Volume::new();
    volume.open().write(&secret("token")).expect("written");
    fs::write(volume.directory().join(format!("{TEMPORARY_PREFIX}x")), "half a tok").expect("written");
    volume.open();
    assert_eq!(volume.names(), [TOKEN_FILE_NAME]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_volume_that_could_not_be_opened_is_opened_by_the_next_write() {
    let volume = Volume::new();
    let later = volume.directory.path().join("later");
    let mut file = TokenFile::new(&later, 0o640);
    file.write(&secret("token")).expect_err("there is no such directory");
    fs::create_dir(&later).expect("made");
    file.write(&secret("token")).expect("written");
    let written = fs::read(later.join(TOKEN_SUBDIRECTORY).join(TOKEN_FILE_NAME));
    assert_eq!(written.expect("readable"), b"token");
}

#[tokio::test(flavor = "current_thread")]
async fn a_removal_is_noticed_and_a_replacement_is_not_taken_for_one() {
    let volume = Volume::new();
    let mut file = volume.open();
    file.write(&secret("first")).expect("written");
    file.write(&secret("second")).expect("written");
    let limit = std::time::Duration::from_millis(50);
    assert!(
        tokio::time::timeout(limit, file.removed()).await.is_err(),
        "we replaced it ourselves"
    );
    for attempt in 0..2 {
        if attempt == 0 {
            fs::remove_file(volume.file()).expect("removed");
        } else {
            fs::rename(volume.file(), volume.directory().join("elsewhere")).expect("moved");
        }
        let noticed = tokio::time::timeout(std::time::Duration::from_secs(5), file.removed()).await;
        noticed.expect("noticed").expect("watched");
        file.write(&secret("again")).expect("written");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_reader_during_ten_thousand_refreshes_sees_whole_tokens_only() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let volume = Volume::new();
    let mut file = volume.open();
    let tokens = [secret(&"a".repeat(1500)), secret(&"b".repeat(2500))];
    file.write(&tokens[0]).expect("written");
    let (path, done) = (volume.file(), AtomicBool::new(false));
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let seen = fs::read_to_string(&path).expect("always there");
                assert!(
                    tokens.iter().any(|token| token.expose() == seen),
                    "{} bytes",
                    seen.len()
                );
                reads += 1;
            }
            reads
        });
        for round in 0..10_000 {
            file.write(&tokens[round % 2]).expect("written");
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader saw nothing else")
    });
    assert!(reads > 0);
}
