//! Brings the schemas of the configured databases up to date, one after the other, without serving anything.
//!
//! Decides only which there are. An embedded store that is not there yet is left to its first start, which makes its master
//! key too.

use std::path::PathBuf;

use domain::region::Region;
use store::{
    Migrated, PostgresOptions,
    control::Control,
    log::{postgres::PostgresLog, sqlite::SqliteLog},
};

use super::{AssembleError, DataFolder, FolderLock, stores};
use crate::config::{Database, Settings};

/// One database whose schema was looked after.
pub(crate) struct MigratedDatabase {
    /// Which one.
    pub(crate) what: String,
    /// Where its schema stood and stands.
    pub(crate) migrated: Migrated,
}

/// The databases whose schemas are to be looked after, in order. No server serves from the data folder meanwhile.
pub(crate) struct Migrations {
    steps: std::vec::IntoIter<Migration>,
    _lock: Option<FolderLock>,
}

/// One database.
pub(crate) struct Migration {
    what: String,
    place: Place,
}

enum Place {
    ControlFile(String),
    ControlServer(PostgresOptions),
    RegionFolder(PathBuf, Region),
    RegionServer(PostgresOptions, Region),
}

/// Finds out which databases there are.
pub(crate) fn migrations(settings: &Settings) -> Result<Migrations, AssembleError> {
    let embedded = |database: &Database| !database.is_shared();
    let regions = &settings.regions.enabled;
    let needs_folder = embedded(&settings.storage.database_url)
        || regions
            .iter()
            .any(|&region| embedded(settings.database_of(region)));
    let folder = needs_folder
        .then(|| DataFolder::existing(&settings.storage.data_dir))
        .transpose()?;
    let lock = folder.as_ref().map(DataFolder::lock).transpose()?;
    let path = || settings.storage.data_dir.clone();
    let control = match &settings.storage.database_url {
        Database::Embedded => Migration {
            what: format!("the control plane in {}", path().display()),
            place: Place::ControlFile(stores::control_url(&settings.storage.data_dir)),
        },
        Database::Postgres(url) => Migration {
            what: format!("the control plane in {url}"),
            place: Place::ControlServer(settings.postgres.options(url)),
        },
    };
    let of_region = |&region: &Region| match settings.database_of(region) {
        Database::Embedded => Migration {
            what: format!("the log of region {region} in {}", path().display()),
            place: Place::RegionFolder(path(), region),
        },
        Database::Postgres(url) => Migration {
            what: format!("the log of region {region} in {url}"),
            place: Place::RegionServer(settings.postgres.options(url), region),
        },
    };
    let steps: Vec<Migration> = [control]
        .into_iter()
        .chain(regions.iter().map(of_region))
        .collect();
    Ok(Migrations {
        steps: steps.into_iter(),
        _lock: lock,
    })
}

impl Iterator for Migrations {
    type Item = Migration;

    fn next(&mut self) -> Option<Migration> {
        self.steps.next()
    }
}

impl Migration {
    /// Brings its schema up to date.
    pub(crate) async fn run(self) -> Result<MigratedDatabase, AssembleError> {
        let Migration { what, place } = self;
        let migrated = match place {
            Place::ControlFile(url) => Control::migrate(&url).await,
            Place::ControlServer(options) => Control::migrate_postgres(&options).await,
            Place::RegionFolder(folder, region) => SqliteLog::migrate(&folder, region).await,
            Place::RegionServer(options, region) => {
                match PostgresLog::refuse_lent_connections(&options).await {
                    Ok(()) => PostgresLog::migrate(&options, region).await,
                    Err(error) => Err(error),
                }
            }
        };
        match migrated {
            Ok(migrated) => Ok(MigratedDatabase { what, migrated }),
            Err(source) => Err(AssembleError::Store { what, source }),
        }
    }
}
