//! Exports: everything that matches, streamed page by page in constant memory.
//!
//! JSON and NDJSON end with a signed manifest, so that `trunkline verify` can tell whether anything is missing. A failure
//! midway breaks the transfer off: it never ends as if it were complete.

mod csv;

use std::collections::VecDeque;

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use actors::Engine;
use bytes::Bytes;
use domain::{
    event::Event,
    export::{Coverage, ExportFormat, ExportWriter, ManifestBuilder},
    filter::EventFilter,
    ids::TenantId,
    permission::Permission,
    position::Position,
    region::Region,
};
use futures_util::stream;
use store::log::{EventQuery, Order};

use super::{
    call::{Answer, Call},
    event_query,
    problem::Problem,
};

const PAGE_EVENTS: u32 = 500;
const PAGE_BYTES: usize = 1024 * 1024;
const SCAN_MAX: u32 = 20_000;
const CHUNK_BYTES: usize = 64 * 1024;

/// Exports as one JSON object.
pub(crate) async fn json(call: Call) -> Answer {
    export(&call, Form::Json).await
}

/// Exports one JSON object a line.
pub(crate) async fn ndjson(call: Call) -> Answer {
    export(&call, Form::Ndjson).await
}

/// Exports a table.
pub(crate) async fn csv(call: Call) -> Answer {
    export(&call, Form::Csv).await
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Ndjson,
    Csv,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Ndjson => "application/x-ndjson",
            Form::Csv => "text/csv; charset=utf-8",
        }
    }

    const fn file_name(self) -> &'static str {
        match self {
            Form::Json => "attachment; filename=\"events.json\"",
            Form::Ndjson => "attachment; filename=\"events.ndjson\"",
            Form::Csv => "attachment; filename=\"events.csv\"",
        }
    }
}

async fn export(call: &Call, form: Form) -> Answer {
    call.require(Permission::EventsExport)?;
    let filter = event_query::export(call).await?;
    let (engine, caller) = (call.engine(), call.caller());
    let plan = engine.plans().get(caller.tenant_record().plan);
    // The head at the beginning is the end: an export of a busy log comes to an end.
    let until = engine.feed(call.tenant()).await?.head();
    let mut out = Vec::new();
    let writer = Writer::begin(form, call, &filter, plan.export_rows, &mut out);
    let export = Export {
        engine: engine.clone(),
        tenant: call.tenant(),
        region: caller.region(),
        filter,
        cursor: Position::ZERO,
        until,
        rows_left: plan.export_rows,
        page: VecDeque::new(),
        stage: Stage::Reading(writer),
        out,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, form.media_type()))
        .insert_header((CONTENT_DISPOSITION, form.file_name()))
        .streaming(stream::unfold(export, Export::next)))
}

/// How events become bytes.
enum Writer {
    Signed(Box<ExportWriter>),
    Table,
}

impl Writer {
    fn begin(
        form: Form,
        call: &Call,
        filter: &EventFilter,
        row_limit: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Writer {
        // A workspace or a time leaves no gaps between the first and the last event of a workspace; anything else may.
        let narrowest = EventFilter {
            workspace: filter.workspace,
            from: filter.from,
            to: filter.to,
            ..EventFilter::default()
        };
        let coverage = if *filter == narrowest {
            Coverage::Complete
        } else {
            Coverage::Filtered
        };
        let manifest = ManifestBuilder::new(call.tenant(), call.caller().region(), coverage)
            .with_row_limit(row_limit);
        match form {
            Form::Json => Writer::Signed(Box::new(ExportWriter::begin(
                ExportFormat::Json,
                manifest,
                out,
            ))),
            Form::Ndjson => Writer::Signed(Box::new(ExportWriter::begin(
                ExportFormat::Ndjson,
                manifest,
                out,
            ))),
            Form::Csv => {
                csv::write_header(out);
                Writer::Table
            }
        }
    }

    fn event(&mut self, event: &Event, region: Region, out: &mut Vec<u8>) {
        match self {
            Writer::Signed(writer) => writer.event(event, out),
            Writer::Table => csv::write_row(event, region, out),
        }
    }
}

enum Stage {
    Reading(Writer),
    Done,
}

struct Export {
    engine: Engine,
    tenant: TenantId,
    region: Region,
    filter: EventFilter,
    cursor: Position,
    until: Position,
    /// Rows that the plan still allows.
    rows_left: Option<u64>,
    page: VecDeque<Event>,
    stage: Stage,
    out: Vec<u8>,
}

impl Export {
    async fn next(mut self) -> Option<(Result<Bytes, Problem>, Export)> {
        loop {
            if self.out.len() >= CHUNK_BYTES {
                return Some(self.give());
            }
            let Stage::Reading(writer) = &mut self.stage else {
                return (!self.out.is_empty()).then(|| self.give());
            };
            if let Some(event) = self.page.pop_front() {
                if self.rows_left == Some(0) {
                    if let Writer::Signed(writer) = writer {
                        writer.cut();
                    }
                    self.end();
                    continue;
                }
                self.rows_left = self.rows_left.map(|left| left - 1);
                writer.event(&event, self.region, &mut self.out);
                continue;
            }
            if self.cursor >= self.until {
                self.end();
                continue;
            }
            if let Err(problem) = self.read_page().await {
                return Some((Err(problem), self));
            }
        }
    }

    fn give(mut self) -> (Result<Bytes, Problem>, Export) {
        let bytes = Bytes::from(std::mem::take(&mut self.out));
        (Ok(bytes), self)
    }

    fn end(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        if let Stage::Reading(writer) = stage
            && let Writer::Signed(writer) = writer
        {
            let signer = self.engine.signer(self.region);
            writer.end(&signer, self.engine.clock().now(), &mut self.out);
        }
    }

    async fn read_page(&mut self) -> Result<(), Problem> {
        let query = EventQuery {
            filter: self.filter.clone(),
            after: Some(self.cursor),
            before: Some(self.until.next()),
            order: Order::Ascending,
            limit: PAGE_EVENTS,
            scan_max: SCAN_MAX,
            bytes_max: PAGE_BYTES,
        };
        let found = self
            .engine
            .search(self.tenant, self.region, &query)
            .await?
            .page;
        self.cursor = found.next.unwrap_or(self.until);
        self.page.extend(found.events);
        Ok(())
    }
}
