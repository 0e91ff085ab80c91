//! Backups: what a view holds, written to a new directory that opens like any other, while reads
//! and writes go on.
//!
//! ```text
//! backup -> new_directory   the directory, which appears when it is whole
//!        -> copy            the snapshot in it: cloned where it can be, else written
//!        -> progress        telling the caller, who may stop it
//! ```

mod copy;
mod progress;

pub use progress::BackupProgress;

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{ErrorKind, Result};
use crate::io::{FileSystem, RealFileSystem};
use crate::new_directory::NewDirectory;
use crate::ordered::OrderedRun;
use crate::store::{Store, View};
use progress::Meter;

impl Store {
    /// Writes the store as it is at one instant during this call to the new directory `to`, while
    /// reads and writes go on. Works for a store that is open read-only or that takes no more
    /// writes because a sync has failed.
    ///
    /// `to` must not exist, or be an empty directory, and not lie in the store's own. It gets a
    /// `snapshot.dat` and an empty `wal.log`, so it opens like any other directory, also in the Go
    /// store. It appears when it is whole and durable; whatever crashes before, nothing is there
    /// but perhaps a directory called `<to>.unfinished-<number>`, which can be removed. `to` may be
    /// on another file system.
    ///
    /// Every record is checked against the checksum that it was stored with. If nothing was written
    /// since the store was last closed and the file system can, the snapshot is cloned, and
    /// takes no more room until one of the two is replaced.
    ///
    /// Makes a [view](Store::view), and costs what that costs.
    ///
    /// # Errors
    /// Those of [`view`](Store::view); `InvalidArgument` when something is at `to`; `NoSpace`, `Io`
    /// when `to` cannot be written; `Corrupt` when a record is not what was stored; `TooLarge` for
    /// more than 2^32 - 1 records. Nothing is then left at `to`, and the store is not affected.
    ///
    /// ```
    /// use kvstore::Store;
    /// # let place = tempfile::tempdir()?;
    /// # let (data, elsewhere) = (place.path().join("data"), place.path().join("elsewhere"));
    ///
    /// let store = Store::open(&data)?;
    /// store.set("a", "1")?;
    /// store.backup(&elsewhere)?;
    /// store.set("a", "2")?;
    /// assert_eq!(Store::open(&elsewhere)?.get("a")?.as_deref(), Some(b"1".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        self.view()?.backup(to)
    }

    /// As [`backup`](Store::backup), calling `progress` every megabyte or few thousand records, and
    /// at the end. If it returns [`ControlFlow::Break`], the backup is given up.
    ///
    /// # Errors
    /// Those of [`backup`](Store::backup); `Cancelled` when `progress` stopped it.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// # let place = tempfile::tempdir()?;
    /// # let (data, elsewhere) = (place.path().join("data"), place.path().join("elsewhere"));
    /// let store = kvstore::Store::open(&data)?;
    /// store.set("a", "1")?;
    /// store.backup_with(&elsewhere, &mut |progress| {
    ///     println!("{} of {} records", progress.records_done, progress.records_total);
    ///     ControlFlow::Continue(())
    /// })?;
    /// let refused = store.backup_with(place.path().join("b"), &mut |_| ControlFlow::Break(()));
    /// assert_eq!(refused.unwrap_err().kind(), kvstore::ErrorKind::Cancelled);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup_with(
        &self,
        to: impl AsRef<Path>,
        progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.view()?.backup_with(to, progress)
    }
}

impl View {
    /// Writes what the view holds to the new directory `to`, as [`Store::backup`] does. The store
    /// may be closed.
    ///
    /// # Errors
    /// Those of [`Store::backup`].
    ///
    /// ```
    /// use kvstore::Store;
    /// # let place = tempfile::tempdir()?;
    /// # let (data, elsewhere) = (place.path().join("data"), place.path().join("elsewhere"));
    /// let store = Store::open(&data)?;
    /// store.set("a", "1")?;
    /// let view = store.view()?;
    /// store.close()?;
    /// view.backup(&elsewhere)?;
    /// assert_eq!(Store::open(&elsewhere)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        self.backup_with(to, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`backup`](View::backup), with progress as in [`Store::backup_with`].
    ///
    /// # Errors
    /// Those of [`Store::backup_with`].
    pub fn backup_with(
        &self,
        to: impl AsRef<Path>,
        progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
    ) -> Result<()> {
        backup(&RealFileSystem, self.ordered(), to.as_ref(), progress)
    }
}

/// Writes the records of `ordered` to the new directory `to` of `file_system`.
pub(crate) fn backup(
    file_system: &dyn FileSystem,
    ordered: &OrderedRun,
    to: &Path,
    progress: &mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
) -> Result<()> {
    let mut meter = Meter::new(ordered.len(), progress);
    let source = ordered.pins().mappings().find_map(|(_, mapping)| mapping.path().parent());
    let target = NewDirectory::create(file_system, to, source)?;
    let path = target.path().to_path_buf();
    let written = copy::write_snapshot(target.directory(), ordered, &mut meter);
    // Dropped, the directory is removed.
    let written = written.and_then(|()| meter.end()).and_then(|()| target.finish());
    written.map_err(|error| match error.kind() {
        ErrorKind::Cancelled | ErrorKind::InvalidArgument => error,
        kind => {
            let lead = format!(
                "the backup to {} was not made, and what was begun of it is removed; the store goes \
                 on",
                path.display()
            );
            error.share(kind, &lead)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::clock::simulated;
    use crate::io::simulated::{Fault, FaultPlan, Image, SimulatedDisk};
    use crate::options::Options;

    #[test]
    fn a_store_that_takes_no_more_writes_can_be_backed_up() {
        simulated::set(1_000);
        let disk = SimulatedDisk::new(&Image::default());
        let open = |path| Store::open_on(&disk, Path::new(path), &Options::new()).unwrap();
        let store = open("/data");
        store.set("acknowledged", "1").unwrap();
        disk.plan(Some(FaultPlan { at: 0, fault: Fault::Errno(libc::EIO), sticky: true }));
        assert_eq!(store.set("in doubt", "2").unwrap_err().kind(), ErrorKind::Indeterminate);
        disk.plan(None);
        assert_eq!(store.set("later", "3").unwrap_err().kind(), ErrorKind::Poisoned);
        let view = store.view().unwrap();
        backup(&disk, view.ordered(), Path::new("/copy"), &mut |_| ControlFlow::Continue(()))
            .unwrap();
        let copy = open("/copy");
        assert_eq!(copy.get("acknowledged").unwrap().as_deref(), Some(b"1".as_slice()));
        // As for every reader: what nobody was told is there is not.
        assert_eq!(copy.len(), 1);
    }
}
