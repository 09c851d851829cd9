//! Applications that a process of its own finds again.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Application;

/// An application whose data are at a server: a file in its folder says where.
pub trait Placed: Application + Sized {
    /// Where its data are.
    type Place: Serialize + DeserializeOwned;
    /// The file that says so.
    const FILE: &'static str;

    /// The one in that folder whose data are there, to dump and restore it: they can't be looked at.
    fn placed(folder: &Path, place: Self::Place) -> Self;

    /// The one in that folder, if there is one of these.
    fn found_in(folder: &Path) -> Option<Self> {
        let file = folder.join(Self::FILE);
        file.exists().then(|| Self::placed(folder, serde_json::from_slice(&fs::read(file).unwrap()).unwrap()))
    }

    /// Makes that folder, and says in it where the data are.
    fn note(folder: &Path, place: &Self::Place) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(Self::FILE), serde_json::to_vec(place).unwrap()).unwrap();
    }
}
