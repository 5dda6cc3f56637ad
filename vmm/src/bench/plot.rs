//! A page with a picture of each figure: how the times of single operations are distributed, floor and zvmm in one frame.

use std::error::Error;
use std::fmt::Write as _;

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, IntoDrawingArea, IntoLogRange, LineSeries, SVGBackend, WHITE,
};
use plotters::style::{Color, RGBColor};

use super::{Measured, Results};

const SIZE: (u32, u32) = (720, 320);
const GREY: RGBColor = RGBColor(140, 140, 140);

/// Points of a curve: more are not told apart.
const POINTS: usize = 400;

/// The page, whole in itself.
///
/// # Errors
/// What the drawing library says.
pub fn page(results: &Results) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut html = String::from(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>zvmm bench</title>\n\
         <body style=\"font: 15px sans-serif; max-width: 760px; margin: 2em auto\">\n<h1>zvmm bench</h1>\n\
         <p>The share of operations (upwards) that took at most so long (to the right, microseconds). \
         <b style=\"color: #8c8c8c\">Grey: the floor.</b> <b style=\"color: #00f\">Blue: zvmm.</b></p>\n",
    );
    for figure in &results.figures {
        writeln!(html, "<h3>{} {}</h3>", figure.figure, figure.name)?;
        html.push_str(&picture(figure)?);
    }
    Ok(html)
}

/// The times of all rounds in microseconds, sorted.
fn sorted(rounds: &[Vec<u64>]) -> Vec<f64> {
    let mut times: Vec<f64> = rounds
        .iter()
        .flatten()
        .map(|ns| (*ns).max(1) as f64 / 1000.0)
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The curve: time, and the share of the times up to it.
fn curve(times: &[f64]) -> Vec<(f64, f64)> {
    let last = times.len().saturating_sub(1).max(1);
    let step = times.len().div_ceil(POINTS).max(1);
    let points = times.iter().enumerate().step_by(step);
    points
        .map(|(at, time)| (*time, at as f64 / last as f64))
        .collect()
}

fn picture(figure: &Measured) -> Result<String, Box<dyn Error + Send + Sync>> {
    let (floor, ours) = (
        curve(&sorted(&figure.floor_samples)),
        curve(&sorted(&figure.samples)),
    );
    let all = || floor.iter().chain(&ours).map(|(time, _)| *time);
    // The slowest hundredth would press everything else to the left.
    let usual = || {
        floor
            .iter()
            .chain(&ours)
            .filter(|(_, share)| *share <= 0.99)
            .map(|(time, _)| *time)
    };
    let low = all().fold(f64::INFINITY, f64::min).min(1e9) * 0.9;
    let high = usual().fold(low, f64::max) * 1.2;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(40)
            .build_cartesian_2d((low..high).log_scale(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        for (points, color) in [(floor, GREY), (ours, BLUE)] {
            let shown = points.into_iter().filter(|(time, _)| *time <= high);
            chart.draw_series(LineSeries::new(shown, color.stroke_width(2)))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Host;

    fn figure(floor: Vec<u64>, ours: Vec<u64>) -> Measured {
        Measured {
            figure: 1,
            name: "Made/Up".into(),
            rows: Vec::new(),
            noisy_rounds: 0,
            floor_work: Default::default(),
            work: Default::default(),
            floor_samples: vec![floor],
            samples: vec![ours],
        }
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let figures = vec![
            figure((1000..2000).collect(), (1500..9000).collect()),
            figure(Vec::new(), vec![7; 10]),
            figure(vec![0], vec![0, 0, u64::MAX]),
        ];
        let page = page(&Results {
            host: Host::Software,
            rounds: 1,
            figures,
            memory: Vec::new(),
            kernel_instructions: None,
        })
        .unwrap();
        assert_eq!(page.matches("<svg").count(), 3);
        let curves = ["#0000FF", "#8C8C8C"].map(|color| page.matches(color).count());
        assert_eq!(curves, [3, 2], "{page}");
        assert!(!page.contains("src=") && !page.contains("<script"));
    }
}
