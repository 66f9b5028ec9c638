//! What a commit has to know before it decides: numbers of tenants and workspaces, and their rows under a lock.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Object;
use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::{Position, Seq},
};
use futures_util::FutureExt as _;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::{
    super::names::Names,
    in_order,
    plan::{State, Stream, Tenant},
};
use crate::log::Write;

/// Tenants, workspaces, nodes and answers that the parts of a commit speak of.
pub(in super::super) struct Wanted {
    pub(in super::super) tenants: BTreeSet<TenantId>,
    pub(in super::super) streams: BTreeSet<(TenantId, WorkspaceId)>,
    nodes: Vec<(TenantId, WorkspaceId, u8, u64)>,
    answers: Vec<(TenantId, [u8; 32])>,
    devices: BTreeSet<(TenantId, DeviceId)>,
}

/// Why nothing could be read.
pub(super) enum Failure {
    /// The database said so, or the connection was lost.
    Sql(Error),
    /// The numbers that were remembered are not those of this database.
    NamesChanged,
}

/// Numbers by name.
type TenantNos = BTreeMap<TenantId, i64>;
type StreamNos = BTreeMap<(TenantId, WorkspaceId), i64>;

/// Locks the tenants, always in the same order, and reads them as the last holder of the lock left them.
const LOCK: &str = "
    SELECT   no, id, head, last_at, dispatched, fence
    FROM     tenants
    WHERE    no = ANY($1)
    ORDER BY no
    FOR UPDATE";
const STREAMS: &str = "
    SELECT no, tenant_no, id, seq
    FROM   streams
    WHERE  no = ANY($1)";
const NODES: &str = "
    SELECT n.stream_no, n.level, n.idx
    FROM   unnest($1::BIGINT[], $2::SMALLINT[], $3::BIGINT[]) AS wanted (stream_no, level, idx)
    JOIN   tree_nodes AS n ON n.stream_no = wanted.stream_no AND n.level = wanted.level
                              AND n.idx = wanted.idx";
const ANSWERS: &str = "
    SELECT a.tenant_no, a.key_hash, a.expires_at
    FROM   unnest($1::BIGINT[], $2::BYTEA[]) AS wanted (tenant_no, key_hash)
    JOIN   idempotent_answers AS a ON a.tenant_no = wanted.tenant_no
                                      AND a.key_hash = wanted.key_hash";

const DEVICES: &str = "
    SELECT t.id, d.device, d.fence
    FROM   unnest($1::BIGINT[], $2::UUID[]) AS wanted (tenant_no, device)
    JOIN   devices AS d ON d.tenant_no = wanted.tenant_no AND d.device = wanted.device
    JOIN   tenants AS t ON t.no = wanted.tenant_no";

impl Wanted {
    /// What these parts speak of.
    pub(in super::super) fn of(parts: &[Write]) -> Wanted {
        let mut wanted = Wanted {
            tenants: parts.iter().map(Write::tenant).collect(),
            streams: BTreeSet::new(),
            nodes: Vec::new(),
            answers: Vec::new(),
            devices: BTreeSet::new(),
        };
        for part in parts {
            let append = match part {
                Write::Append(append) => append,
                Write::OpenDevice { device, .. }
                | Write::Credentials { device, .. }
                | Write::Outgoing { device, .. }
                | Write::Outcome {
                    device,
                    by: Some(_),
                    ..
                } => {
                    wanted.devices.insert((part.tenant(), *device));
                    continue;
                }
                Write::Settle(_)
                | Write::Dispatch(_)
                | Write::Consume(_)
                | Write::Replay { .. }
                | Write::ForgetWebhook { .. }
                | Write::Outcome { by: None, .. }
                | Write::ForgetDevice { .. } => continue,
            };
            let tenant = append.tenant;
            let mut last = None;
            for event in &append.events {
                if last != Some(event.workspace) {
                    last = Some(event.workspace);
                    wanted.streams.insert((tenant, event.workspace));
                }
            }
            for (workspace, node) in &append.nodes {
                wanted.streams.insert((tenant, *workspace));
                let key = (tenant, *workspace, node.level, node.index);
                wanted.nodes.push(key);
            }
            let sessions = append.sessions.iter();
            wanted
                .devices
                .extend(sessions.map(|(device, _)| (tenant, *device)));
            let answers = append.answers.iter();
            wanted
                .answers
                .extend(answers.map(|answer| (tenant, answer.key_hash)));
        }
        wanted
    }

    /// Begins a transaction, locks the tenants and reads what is wanted of them.
    pub(super) async fn read(&self, client: &Object, names: &Names) -> Result<State, Failure> {
        let tenants = self.tenant_nos(client, names).await?;
        let streams = self.stream_nos(client, names, &tenants).await?;
        let tenant_nos: Vec<i64> = tenants.values().copied().collect();
        let stream_nos: Vec<i64> = streams.values().copied().collect();
        let nodes = self.node_columns(&streams);
        let answers = self.answer_columns(&tenants);
        let devices = self.device_columns(&tenants);

        let lock = client.prepare_cached(LOCK).await?;
        let read_streams = client.prepare_cached(STREAMS).await?;
        let read_nodes = client.prepare_cached(NODES).await?;
        let read_answers = client.prepare_cached(ANSWERS).await?;
        let read_devices = client.prepare_cached(DEVICES).await?;
        let begin = async { client.batch_execute("BEGIN").await.map(|()| Vec::new()) };
        let (lock_on, streams_on) = ([&tenant_nos as _], [&stream_nos as _]);
        let nodes_on = [&nodes.0 as _, &nodes.1 as _, &nodes.2 as _];
        let answers_on = [&answers.0 as _, &answers.1 as _];
        let devices_on = [&devices.0 as _, &devices.1 as _];
        // Sent together. What is read after the locks is read as it stands under them.
        let mut sent = vec![begin.boxed(), client.query(&lock, &lock_on).boxed()];
        for (is_needed, statement, parameters) in [
            (!stream_nos.is_empty(), &read_streams, &streams_on[..]),
            (!nodes.0.is_empty(), &read_nodes, &nodes_on[..]),
            (!answers.0.is_empty(), &read_answers, &answers_on[..]),
            (!devices.0.is_empty(), &read_devices, &devices_on[..]),
        ] {
            sent.push(if is_needed {
                client.query(statement, parameters).boxed()
            } else {
                futures_util::future::ok(Vec::new()).boxed()
            });
        }
        let found: Vec<Vec<Row>> = in_order(sent).await.into_iter().collect::<Result<_, _>>()?;
        let [
            _,
            tenant_rows,
            stream_rows,
            node_rows,
            answer_rows,
            device_rows,
        ] = &found[..]
        else {
            return Err(Failure::NamesChanged);
        };
        let mut state = State::default();
        read_tenants(&mut state, tenant_rows, &tenants)?;
        self.read_streams(&mut state, stream_rows, &tenants, &streams)?;
        for row in node_rows {
            let level: i16 = row.try_get(1)?;
            let index: i64 = row.try_get(2)?;
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let index = u64::try_from(index).unwrap_or(u64::MAX);
            state.nodes.insert((row.try_get(0)?, level, index));
        }
        for row in answer_rows {
            let key: &[u8] = row.try_get(1)?;
            if let Ok(key) = key.try_into() {
                state
                    .answers
                    .insert((row.try_get(0)?, key), row.try_get(2)?);
            }
        }
        for row in device_rows {
            let tenant = TenantId::from_uuid(row.try_get(0)?);
            let device = DeviceId::from_uuid(row.try_get(1)?);
            let fence: i64 = row.try_get(2)?;
            let fence = Fence::new(u64::try_from(fence).unwrap_or_default());
            state.devices.insert((tenant, device), fence);
        }
        Ok(state)
    }

    fn node_columns(&self, streams: &StreamNos) -> (Vec<i64>, Vec<i16>, Vec<i64>) {
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for (tenant, workspace, level, index) in &self.nodes {
            columns.0.push(streams[&(*tenant, *workspace)]);
            columns.1.push(i16::from(*level));
            columns.2.push(i64::try_from(*index).unwrap_or(i64::MAX));
        }
        columns
    }

    fn device_columns(&self, tenants: &TenantNos) -> (Vec<i64>, Vec<Uuid>) {
        let devices = self.devices.iter();
        devices
            .map(|(tenant, device)| (tenants[tenant], device.uuid()))
            .unzip()
    }

    fn answer_columns(&self, tenants: &TenantNos) -> (Vec<i64>, Vec<&[u8]>) {
        let answers = self.answers.iter();
        answers
            .map(|(tenant, key_hash)| (tenants[tenant], &key_hash[..]))
            .unzip()
    }

    fn read_streams(
        &self,
        state: &mut State,
        rows: &[Row],
        tenants: &TenantNos,
        streams: &StreamNos,
    ) -> Result<(), Failure> {
        let mut found = BTreeMap::new();
        for row in rows {
            let (no, tenant_no, id, seq): (i64, i64, Uuid, i64) = (
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
            );
            found.insert(no, (tenant_no, id, seq));
        }
        for ((tenant, workspace), no) in streams {
            match found.get(no) {
                Some((tenant_no, id, seq))
                    if *tenant_no == tenants[tenant] && *id == workspace.uuid() =>
                {
                    let stream = Stream {
                        no: *no,
                        seq: Seq::new(u64::try_from(*seq).unwrap_or_default()),
                        moved: None,
                    };
                    state.streams.insert((*tenant, *workspace), stream);
                }
                _other => return Err(Failure::NamesChanged),
            }
        }
        Ok(())
    }

    /// Numbers of the tenants; those that have none get one, in a transaction of its own.
    async fn tenant_nos(&self, client: &Object, names: &Names) -> Result<TenantNos, Failure> {
        const FIND: &str = "SELECT no, id FROM tenants WHERE id = ANY($1)";
        // In one order, so that two who number the same tenants do not wait for each other.
        const NUMBER: &str = "
            INSERT INTO tenants (id)
            SELECT   id
            FROM     unnest($1::UUID[]) AS new (id)
            ORDER BY id
            ON CONFLICT (id) DO NOTHING";

        let mut numbers = TenantNos::new();
        for sql in [None, Some(NUMBER)] {
            let mut missing = Vec::new();
            for tenant in &self.tenants {
                match names.tenant(*tenant) {
                    Some(no) => drop(numbers.insert(*tenant, no)),
                    None => missing.push(tenant.uuid()),
                }
            }
            if missing.is_empty() {
                return Ok(numbers);
            }
            if let Some(sql) = sql {
                client
                    .execute(&client.prepare_cached(sql).await?, &[&missing])
                    .await?;
            }
            for row in client
                .query(&client.prepare_cached(FIND).await?, &[&missing])
                .await?
            {
                let (no, id) = (row.try_get(0)?, TenantId::from_uuid(row.try_get(1)?));
                names.set_tenant(id, no);
                numbers.insert(id, no);
            }
            if numbers.len() == self.tenants.len() {
                return Ok(numbers);
            }
        }
        Err(Failure::NamesChanged)
    }

    /// Numbers of the workspaces' streams; those that have none get one, in a transaction of its own.
    async fn stream_nos(
        &self,
        client: &Object,
        names: &Names,
        tenants: &TenantNos,
    ) -> Result<StreamNos, Failure> {
        const FIND: &str = "
            SELECT s.no, s.tenant_no, s.id
            FROM   unnest($1::BIGINT[], $2::UUID[]) AS wanted (tenant_no, id)
            JOIN   streams AS s ON s.tenant_no = wanted.tenant_no AND s.id = wanted.id";
        const NUMBER: &str = "
            INSERT INTO streams (tenant_no, id)
            SELECT   tenant_no, id
            FROM     unnest($1::BIGINT[], $2::UUID[]) AS new (tenant_no, id)
            ORDER BY tenant_no, id
            ON CONFLICT (tenant_no, id) DO NOTHING";

        let by_no: BTreeMap<i64, TenantId> = tenants.iter().map(|(id, no)| (*no, *id)).collect();
        let mut numbers = StreamNos::new();
        for sql in [None, Some(NUMBER)] {
            let mut missing: (Vec<i64>, Vec<Uuid>) = Default::default();
            for (tenant, workspace) in &self.streams {
                let tenant_no = tenants[tenant];
                match names.stream(tenant_no, *workspace) {
                    Some(no) => drop(numbers.insert((*tenant, *workspace), no)),
                    None => {
                        missing.0.push(tenant_no);
                        missing.1.push(workspace.uuid());
                    }
                }
            }
            if missing.0.is_empty() {
                return Ok(numbers);
            }
            if let Some(sql) = sql {
                let number = client.prepare_cached(sql).await?;
                client.execute(&number, &[&missing.0, &missing.1]).await?;
            }
            let find = client.prepare_cached(FIND).await?;
            for row in client.query(&find, &[&missing.0, &missing.1]).await? {
                let (no, tenant_no) = (row.try_get(0)?, row.try_get(1)?);
                let workspace = WorkspaceId::from_uuid(row.try_get(2)?);
                names.set_stream(tenant_no, workspace, no);
                if let Some(tenant) = by_no.get(&tenant_no) {
                    numbers.insert((*tenant, workspace), no);
                }
            }
            if numbers.len() == self.streams.len() {
                return Ok(numbers);
            }
        }
        Err(Failure::NamesChanged)
    }
}

fn read_tenants(state: &mut State, rows: &[Row], tenants: &TenantNos) -> Result<(), Failure> {
    let position = |number: i64| Position::new(u64::try_from(number).unwrap_or_default());
    for row in rows {
        let dispatched: Option<i64> = row.try_get(4)?;
        let fence: i64 = row.try_get(5)?;
        let head = position(row.try_get(2)?);
        let tenant = Tenant {
            no: row.try_get(0)?,
            found: head,
            head,
            last_at: row.try_get(3)?,
            dispatched: dispatched.map(position),
            fence: Fence::new(u64::try_from(fence).unwrap_or_default()),
            is_moved: false,
        };
        let id = TenantId::from_uuid(row.try_get(1)?);
        if tenants.get(&id) != Some(&tenant.no) {
            return Err(Failure::NamesChanged);
        }
        state.tenants.insert(id, tenant);
    }
    if state.tenants.len() == tenants.len() {
        Ok(())
    } else {
        Err(Failure::NamesChanged)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Sql(error)
    }
}
