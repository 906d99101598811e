//! The names of an archive's files, so that each is one file's alone, and where the class folders are.

use std::collections::HashMap;
use std::path::Path;

use crate::error::Refusal;
use crate::keys::Keys;

/// An archive with more folders is refused.
const MOST_FOLDERS: usize = 65_536;

/// The files so far, and the folders that they lie in.
#[derive(Debug)]
pub struct Tree {
    /// Their paths.
    files: Keys,
    /// By path; the top one's is empty.
    folders: HashMap<Box<str>, Folder>,
    /// The folder of the file before: most files lie in the same one.
    last_folder: String,
}

#[derive(Debug, Default)]
struct Folder {
    files: u64,
    /// Paths.
    folders: Vec<Box<str>>,
}

impl Tree {
    /// One without files. What it keeps of each one is in `scratch`.
    pub fn new(scratch: &Path) -> files::Result<Self> {
        let folders = HashMap::from([(Box::from(""), Folder::default())]);
        Ok(Self { files: Keys::new(scratch)?, folders, last_folder: String::new() })
    }

    /// Makes room for one more file.
    pub fn reserve(&mut self) -> files::Result<()> {
        self.files.reserve()
    }

    /// Adds a file, for which [`Tree::reserve`] made room, and its folders.
    pub fn add(&mut self, path: &str) -> Result<(), Refusal> {
        let folder = parent(path);
        if self.last_folder != folder {
            self.add_folder(folder)?;
            folder.clone_into(&mut self.last_folder);
        }
        if self.folders.contains_key(path) {
            return Err(Refusal::FileAndFolder);
        }
        if !self.files.insert(path) {
            return Err(Refusal::Twice);
        }
        self.folders.get_mut(folder).expect("the folder was added").files += 1;
        Ok(())
    }

    fn add_folder(&mut self, path: &str) -> Result<(), Refusal> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for folder in ends.map(|end| &path[..end]) {
            if self.folders.contains_key(folder) {
                continue;
            }
            if self.files.contains(folder) {
                return Err(Refusal::FileAndFolder);
            }
            if self.folders.len() > MOST_FOLDERS {
                return Err(Refusal::TooManyFolders(MOST_FOLDERS));
            }
            self.folders.get_mut(parent(folder)).expect("a folder comes after its parent").folders.push(folder.into());
            self.folders.insert(folder.into(), Folder::default());
        }
        Ok(())
    }

    /// The folder that holds the class folders: past folders that hold nothing but one folder of folders.
    pub fn class_root(&self) -> Option<&str> {
        let mut root = "";
        loop {
            let Folder { files, folders } = &self.folders[root];
            match &folders[..] {
                [] => return None,
                [only] if *files == 0 && !self.folders[only].folders.is_empty() => root = only,
                _ => return Some(root),
            }
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Result<Tree, Refusal> {
        let mut tree = Tree::new(tempfile::tempdir().unwrap().path()).unwrap();
        paths.iter().try_for_each(|path| tree.add(path))?;
        Ok(tree)
    }

    #[test]
    fn a_name_is_one_file_s_or_folders() {
        for (paths, expected) in [
            (&["a/1", "b/1", "a/1"][..], Refusal::Twice),
            (&["a/1", "a"], Refusal::FileAndFolder),
            (&["a/b/1", "a/b"], Refusal::FileAndFolder),
            (&["a/1", "a/1/2"], Refusal::FileAndFolder),
            (&["a", "a/b/c/1"], Refusal::FileAndFolder),
            (&[""], Refusal::FileAndFolder),
        ] {
            assert_eq!(tree(paths).unwrap_err(), expected, "{paths:?}");
        }
    }

    #[test]
    fn the_class_folders_are_past_folders_that_hold_one_folder_of_folders() {
        for (paths, expected) in [
            (&["A/1", "B/1"][..], Some("")),
            (&["set/A/1", "set/B/1"], Some("set")),
            (&["deep/er/set/A/1", "deep/er/set/B/1"], Some("deep/er/set")),
            (&["set/A/1", "set/B/1", "README"], Some("")),
            (&["set/A/1", "set/README"], Some("set")),
            (&["A/1"], Some("")),
            (&["set/A/1"], Some("set")),
            (&["1", "2"], None),
            (&[], None),
        ] {
            assert_eq!(tree(paths).unwrap().class_root(), expected, "{paths:?}");
        }
    }

    #[test]
    fn folders_without_end_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(folder.path()).unwrap();
        let refused = (0..).find_map(|index| {
            tree.reserve().unwrap();
            tree.add(&format!("{index}/1")).err()
        });
        assert_eq!(refused, Some(Refusal::TooManyFolders(MOST_FOLDERS)));
    }
}
