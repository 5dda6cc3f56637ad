//! The page: one picture a VMO, whole in itself.

use std::error::Error;
use std::fmt::Write as _;

use plotters::prelude::{
    BLACK, ChartBuilder, DrawingArea, IntoDrawingArea, Rectangle, SVGBackend, WHITE,
};
use plotters::{
    coord::Shift,
    style::{Color, RGBColor},
};
use protocol::PAGE_SIZE;

use super::grid::{COLUMNS, Cell, Grid, ROWS};
use super::{Heatmap, History};

const SIZE: (u32, u32) = (860, 300);
/// Width of the strip at the right.
const STRIP: u32 = 70;
const ASKED: RGBColor = RGBColor(20, 70, 200);
const AHEAD: RGBColor = RGBColor(0, 150, 90);
const UNUSED: RGBColor = RGBColor(210, 30, 30);

/// Shades that are told apart.
const SHADES: i64 = 4;

type Drawn<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The page.
pub(super) fn page(map: &Heatmap, end: u64) -> Drawn<String> {
    let mut html = String::from(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>zvmm heat map</title>\n\
         <body style=\"font: 15px sans-serif; max-width: 900px; margin: 2em auto\">\n\
         <h1>What was there of each VMO</h1>\n<p>Time goes to the right, pages upwards; the darker, the more pages of a \
         line were there. <b style=\"color: #1446c8\">Blue: most of them were asked for.</b> \
         <b style=\"color: #00965a\">Green: most of them came ahead.</b> <b style=\"color: #d21e1e\">Red, in the strip: the share of \
         what came ahead and was never used.</b></p>\n",
    );
    for (koid, history) in &map.vmos {
        let there = (history.came_asked + history.came_ahead).saturating_sub(history.left);
        writeln!(html, "<h3>VMO {koid} {}</h3>", escaped(&history.name))?;
        writeln!(
            html,
            "<p>{} pages asked for, {} ahead ({} used, {} never), {} gone again, {there} left at the end; {} pages a line.</p>",
            history.came_asked,
            history.came_ahead,
            history.used,
            history.unused,
            history.left,
            history.grid.pages(),
        )?;
        html.push_str(&picture(history, end)?);
    }
    if map.elsewhere > 0 {
        writeln!(
            html,
            "<p>{} pages came to other VMOs, which have no picture: the first {} have.</p>",
            map.elsewhere,
            super::MAX_VMOS
        )?;
    }
    if map.lost > 0 {
        let lost = map.lost;
        writeln!(
            html,
            "<p><b>{lost} events are missing: they came faster than they could be noted.</b></p>"
        )?;
    }
    Ok(html)
}

/// Text of a program, as text.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

fn picture(history: &History, end: u64) -> Drawn<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 - STRIP);
        residency(&left, &history.grid, end)?;
        waste(&right, &history.grid)?;
        area.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The last row with anything in it.
fn height(grid: &Grid) -> usize {
    let used = grid.rows().filter(|(row, cells)| {
        let judged = grid
            .judged
            .get(*row)
            .is_some_and(|it| it.used + it.unused > 0);
        judged || cells.iter().any(|cell| *cell != Cell::default())
    });
    used.map(|(row, _)| row + 1).last().unwrap_or(1)
}

fn residency(area: &Area<'_>, grid: &Grid, end: u64) -> Drawn<()> {
    let (rows, pages) = (height(grid), grid.pages());
    let top = rows as f64 * pages as f64;
    let millis = |nanos: u64| nanos as f64 / 1e6;
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..millis(end.max(1)), 0.0..top)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("milliseconds")
        .y_desc(format!("page ({PAGE_SIZE} bytes)"))
        .draw()?;
    for (row, cells) in grid.rows().take(rows) {
        let bottom = row as f64 * pages as f64;
        for (from, to, shade, ahead) in stripes(cells, pages) {
            let (from, to) = (from as u64 * grid.nanos(), to as u64 * grid.nanos());
            let place = [
                (millis(from), bottom),
                (millis(to.min(end)), bottom + pages as f64),
            ];
            let color = if ahead { AHEAD } else { ASKED };
            let color = color.mix(shade as f64 / SHADES as f64);
            chart.draw_series([Rectangle::new(place, color.filled())])?;
        }
    }
    Ok(())
}

/// Runs of columns in which a row looks the same: (first, end, shade, whether most came ahead); where nothing is there is none.
fn stripes(cells: &[Cell; COLUMNS], pages: u64) -> Vec<(usize, usize, i64, bool)> {
    let mut found: Vec<(usize, usize, i64, bool)> = Vec::new();
    let mut there = Cell::default();
    for (column, cell) in cells.iter().enumerate() {
        there.asked += cell.asked;
        there.ahead += cell.ahead;
        let all = there.asked + there.ahead;
        if all <= 0 {
            continue;
        }
        let shade = ((all * SHADES).div_euclid(pages as i64)).clamp(1, SHADES);
        let ahead = there.ahead > there.asked;
        match found.last_mut() {
            Some(last) if (last.1, last.2, last.3) == (column, shade, ahead) => last.1 += 1,
            _ => found.push((column, column + 1, shade, ahead)),
        }
    }
    found
}

/// The strip: of what came ahead, the share that was never used.
fn waste(area: &Area<'_>, grid: &Grid) -> Drawn<()> {
    let rows = height(grid).min(ROWS);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(36)
        .build_cartesian_2d(0.0..1.0, 0.0..rows as f64)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_y_axis()
        .x_labels(2)
        .x_desc("unused")
        .axis_style(BLACK.mix(0.3))
        .draw()?;
    for (row, judged) in grid.judged.iter().enumerate().take(rows) {
        if judged.unused > 0 {
            let share = judged.unused as f64 / (judged.used + judged.unused) as f64;
            let place = [(0.0, row as f64), (share, row as f64 + 1.0)];
            chart.draw_series([Rectangle::new(place, UNUSED.filled())])?;
        }
    }
    Ok(())
}
