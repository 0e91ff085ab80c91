//! The calls that take many keys or pairs.

use kvstore::{Batch, Direction, Durability, KeyRange, Store};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyTuple};

use crate::bytes::{bytes_like, to_bytes};
use crate::errors::exception;
use crate::handle::{Handle, take_turns};

/// How many keys go to the engine at a time: enough for it to prefetch across, few enough to stay
/// in the processor's first cache.
const CHUNK: usize = 128;

/// The values of `keys`, in their order, `default` for those that are missing.
pub(crate) fn get_many<'py>(
    handle: &Handle,
    keys: &Bound<'py, PyAny>,
    default: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let py = keys.py();
    let keys = list_of(keys)?;
    let mut values = Vec::with_capacity(keys.len());
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut keys = keys.iter();
    loop {
        chunk.extend(keys.by_ref().take(CHUNK));
        append_values(py, handle, &chunk, &default, &mut values)?;
        if chunk.len() < CHUNK {
            return PyList::new(py, values);
        }
        chunk.clear();
        take_turns(py, values.len() - 1)?;
    }
}

fn append_values<'py>(
    py: Python<'py>,
    handle: &Handle,
    keys: &[Bound<'py, PyAny>],
    default: &Bound<'py, PyAny>,
    values: &mut Vec<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let keys = keys.iter().map(|key| bytes_like(key, "key")).collect::<PyResult<Vec<_>>>()?;
    let mut failure = None;
    // Nothing in the visitor can run Python code: `bytes` are not tracked by the collector.
    let found = handle.engine().get_many_with(&keys, |_, value| match value {
        None => values.push(default.clone()),
        Some(value) => match to_bytes(py, value) {
            Ok(value) => values.push(value.into_any()),
            Err(error) => failure = Some(error),
        },
    });
    found.map_err(|error| exception(py, error))?;
    failure.map_or(Ok(()), Err)
}

/// Deletes `keys`; how many of them were there.
pub(crate) fn delete_many(handle: &Handle, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
    let py = keys.py();
    let objects: Vec<_> = list_of(keys)?.iter().collect();
    // Every key is looked at before the first is deleted, so a wrong one leaves all in place.
    let keys = objects.iter().map(|key| bytes_like(key, "key")).collect::<PyResult<Vec<_>>>()?;
    let durability = handle.durability();
    handle.detached(py, || {
        let mut deleted = 0;
        for key in &keys {
            let existed = handle.patiently(|engine| engine.delete_with(key, Durability::Os))?;
            deleted += usize::from(existed);
        }
        sync_if(deleted > 0, handle.engine(), durability)?;
        Ok(deleted)
    })
}

/// Deletes every entry that is there now.
pub(crate) fn clear(py: Python<'_>, handle: &Handle) -> PyResult<()> {
    let durability = handle.durability();
    handle.detached(py, || {
        let mut cursor = handle.engine().cursor(KeyRange::all(), Direction::Ascending)?;
        let mut deleted = false;
        while let Some((key, _)) = cursor.next_pair() {
            deleted |= handle.patiently(|engine| engine.delete_with(key, Durability::Os))?;
        }
        cursor.check()?;
        sync_if(deleted, handle.engine(), durability)?;
        Ok(())
    })
}

/// Sets the pairs of `items`, a mapping or an iterable of pairs, in one batch.
pub(crate) fn set_many(handle: &Handle, items: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = items.py();
    handle.check(py)?;
    let mut batch = Batch::new();
    each_pair(items, "set_many", |key, value| {
        batch.set(bytes_like(key, "key")?, bytes_like(value, "value")?);
        Ok(())
    })?;
    handle.write_batch(py, &batch, handle.durability())
}

/// Sets the pairs of `other`, a mapping or an iterable of pairs, then those of `named`.
///
/// Pairs before one that cannot be set stay set, as `MutableMapping.update` has it.
pub(crate) fn update<'py>(
    py: Python<'py>,
    handle: &Handle,
    other: Option<&Bound<'py, PyAny>>,
    named: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let mut written = false;
    let mut set = |key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>| {
        let (key, value) = (bytes_like(key, "key")?, bytes_like(value, "value")?);
        handle.set(py, &key, &value, Durability::Os)?;
        written = true;
        Ok(())
    };
    let mut outcome = other.map_or(Ok(()), |other| each_pair(other, "update", &mut set));
    if let (Ok(()), Some(named)) = (&outcome, named) {
        outcome = each_pair(named.as_any(), "update", &mut set);
    }
    let durability = handle.durability();
    let synced = match written {
        true => handle.slow(py, |engine| sync_if(true, engine, durability)),
        false => Ok(()),
    };
    outcome.and(synced)
}

/// Calls `visit` with each pair of a mapping, of an object with `keys()`, or of an iterable; `caller`
/// is the method to name in messages.
pub(crate) fn each_pair<'py>(
    source: &Bound<'py, PyAny>,
    caller: &str,
    mut visit: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    if let Ok(mapping) = source.cast::<PyMapping>() {
        // `items()` of another store sees one instant, where a lookup for each key does not.
        let items = mapping.as_any().call_method0("items")?;
        return each_pair_of(&items, caller, visit);
    }
    if source.hasattr("keys")? {
        for key in source.call_method0("keys")?.try_iter()? {
            let key = key?;
            visit(&key, &source.get_item(&key)?)?;
        }
        return Ok(());
    }
    each_pair_of(source, caller, visit)
}

fn each_pair_of<'py>(
    pairs: &Bound<'py, PyAny>,
    caller: &str,
    mut visit: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    for (index, pair) in pairs.try_iter()?.enumerate() {
        let pair = pair?;
        let pair = match pair.cast_into_exact::<PyTuple>() {
            Ok(tuple) => tuple,
            Err(error) => PyTuple::new(pairs.py(), list_of(&error.into_inner())?)?,
        };
        if pair.len() != 2 {
            return Err(PyValueError::new_err(format!(
                "{caller} takes pairs of key and value, but element {index} has {} items",
                pair.len()
            )));
        }
        visit(&pair.get_item(0)?, &pair.get_item(1)?)?;
        take_turns(pairs.py(), index)?;
    }
    Ok(())
}

/// One sync after many writes that did not sync, where the store promises it.
///
/// A sync for each write would cost a thousand times more and promise the caller nothing more,
/// who learns of success only at the end. Other threads may see these writes before the sync.
fn sync_if(written: bool, engine: &Store, durability: Durability) -> kvstore::Result<()> {
    match durability {
        Durability::Sync if written => engine.sync(),
        _ => Ok(()),
    }
}

pub(crate) fn list_of<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    match iterable.cast_exact::<PyList>() {
        Ok(list) => Ok(list.clone()),
        Err(_) => {
            let list = PyList::empty(iterable.py());
            list.call_method1("extend", (iterable,))?;
            Ok(list)
        }
    }
}
