//! A table of the few things that are under way at a time, in the order of their numbers.

/// Entries in ascending order. Unlike in a tree, one that comes and goes again allocates nothing; what is numbered anew as a rule comes
/// last.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table {
            entries: Vec::new(),
        }
    }
}

impl<K: Copy + Ord, V> Table<K, V> {
    fn find(&self, key: K) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&key, |(key, _)| *key)
    }

    pub fn get(&self, key: K) -> Option<&V> {
        let at = self.find(key).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Puts an entry in, in place of any that has its key.
    pub fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => self.entries.insert(at, (key, value)),
        }
    }

    pub fn remove(&mut self, key: K) -> Option<V> {
        self.remove_if(key, |_| true)
    }

    /// Takes an entry out that is as asked.
    pub fn remove_if(&mut self, key: K, wanted: impl FnOnce(&V) -> bool) -> Option<V> {
        let at = self.find(key).ok()?;
        let (_, value) = self.entries.get(at)?;
        wanted(value).then(|| self.entries.remove(at).1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }
}
