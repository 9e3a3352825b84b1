// 3 x 3 convolutions of images by Winograd's tiles (tiles.h): a quarter of the multiplications of a convolution that goes
// pixel by pixel. Pixels are followed by their channels; so many tiles at once that their points stay in cache.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "../../checks.h"
#include "../memory.h"
#include "../../tiles.h"

namespace spikeseq {
namespace {

constexpr int64_t kTiles = 64, kGrain = 8;  // at once; a thread's least share
constexpr int64_t kApart = 16;  // floats between the matrices of two points, which would share cache lines' places else
using V = Vector<float>;
using Lanes = V::Lanes;

struct Images {
  int64_t count, height, width;
  int64_t down() const { return (height + kMade - 1) / kMade; }
  int64_t across() const { return (width + kMade - 1) / kMade; }
  int64_t tiles() const { return count * down() * across(); }
};

// Where a tile lies: each(i, j, offset of the pixel's channels) for those of its side x side pixels that there are; the tile
// begins `before` pixels ahead of its first output.
template <int kSide, typename Each>
void pixels(const Images& images, int64_t channels, int64_t tile, int64_t before, const Each& each) {
  const int64_t across = images.across(), down = images.down();
  const int64_t top = tile / across % down * kMade - before, left = tile % across * kMade - before;
  const int64_t image = tile / (across * down) * images.height;
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j)
      if (top + i >= 0 && top + i < images.height && left + j >= 0 && left + j < images.width)
        each(i * kSide + j, ((image + top + i) * images.width + left + j) * channels);
}

// The tiles [begin, begin + n) of `from` to points (kPoints, n, channels), kApart between those of two.
template <typename Map>
void to_points(const Images& images, int64_t channels, int64_t begin, int64_t n, const float* from, float* points) {
  at::parallel_for(0, n, kGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t)
      for (int64_t c = 0; c < channels; c += V::kLanes) {
        Lanes tile[Map::kFrom * Map::kFrom] = {}, made[kPoints];
        pixels<Map::kFrom>(images, channels, begin + t, Map::kFrom == kTile, [&](int k, int64_t at) { tile[k] = V::load(from + at + c); });
        both_sides<Map>(tile, made);
        for (int p = 0; p < kPoints; ++p) V::store(points + p * (n * channels + kApart) + t * channels + c, made[p]);
      }
  });
}

// Points to pixels: those of an output are each of one tile, those of a gradient of the input are added up, as tiles overlap
// there. Threads share out channels, so that none adds where another does.
template <typename Map>
void from_points(const Images& images, int64_t channels, int64_t begin, int64_t n, const float* points, float* to) {
  constexpr bool kAdd = Map::kTo == kTile;
  at::parallel_for(0, channels / V::kLanes, 2, [&](int64_t first, int64_t last) {
    for (int64_t t = 0; t < n; ++t)
      for (int64_t c = first * V::kLanes; c < last * V::kLanes; c += V::kLanes) {
        Lanes given[kPoints], tile[Map::kTo * Map::kTo];
        for (int p = 0; p < kPoints; ++p) given[p] = V::load(points + p * (n * channels + kApart) + t * channels + c);
        both_sides<Map>(given, tile);
        pixels<Map::kTo>(images, channels, begin + t, kAdd, [&](int k, int64_t at) {
          V::store(to + at + c, kAdd ? V::load(to + at + c) + tile[k] : tile[k]);
        });
      }
  });
}

// x (N, C, H, W) by channels last, points (kPoints, C, O) of the weights.
Images check_conv(const at::Tensor& x, const at::Tensor& points) {
  const Checks check("x", x);
  TORCH_CHECK_TYPE(x.scalar_type() == at::kFloat, "x must be ", at::kFloat, ", got ", x.scalar_type());
  TORCH_CHECK_VALUE(x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast),
                    "x must be (N, C, H, W) and contiguous with the channels last, got strides ", x.strides(), " of ", x.sizes());
  TORCH_CHECK_VALUE(points.dim() == 3, "points must be (36, C, O), got ", points.sizes());
  check("points", points, {kPoints, x.size(1), points.size(2)});
  check_contiguous("points", points);
  TORCH_CHECK_VALUE(x.size(1) % V::kLanes == 0 && points.size(2) % V::kLanes == 0, 
                    "x and points must be of channels that are multiples of ", V::kLanes, ", got ", x.size(1), " and ", points.size(2));
  return {x.size(0), x.size(2), x.size(3)};
}

// Memory for the points of n tiles, and a view of it: (kPoints, n, channels).
at::Tensor block_for(int64_t n, int64_t channels, const at::Tensor& like) {
  return at::empty({kPoints * (n * channels + kApart)}, like.options());
}
at::Tensor block_of(const at::Tensor& memory, int64_t n, int64_t channels) {
  return memory.as_strided({kPoints, n, channels}, {n * channels + kApart, channels, 1});
}

at::Tensor like_images(const at::Tensor& x, int64_t channels, bool zero) {
  at::Tensor made = empty_kept({x.size(0), x.size(2), x.size(3), channels}, x.options());
  if (zero) made.zero_();
  return made.permute({0, 3, 1, 2});
}

at::Tensor conv3x3(const at::Tensor& x, const at::Tensor& points) {
  const Images images = check_conv(x, points);
  const int64_t in = x.size(1), out = points.size(2), all = images.tiles(), most = std::min(kTiles, all);
  at::Tensor y = like_images(x, out, false);
  const at::Tensor given = block_for(most, in, x), made = block_for(most, out, x);
  for (int64_t begin = 0; begin < all; begin += kTiles) {
    const int64_t n = std::min(kTiles, all - begin);
    to_points<ToPoints>(images, in, begin, n, x.const_data_ptr<float>(), given.data_ptr<float>());
    at::Tensor products = block_of(made, n, out);
    at::bmm_out(products, block_of(given, n, in), points);
    from_points<FromPoints>(images, out, begin, n, made.const_data_ptr<float>(), y.data_ptr<float>());
  }
  return y;
}

// Gradients of x, and of the points (kPoints, C, O); of either an empty tensor where it is not wanted.
std::tuple<at::Tensor, at::Tensor> conv3x3_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& points,
                                                    bool by_x, bool by_points) {
  const Images images = check_conv(x, points);
  const int64_t in = x.size(1), out = points.size(2), all = images.tiles(), most = std::min(kTiles, all);
  Checks("x", x)("grad", grad, {x.size(0), out, x.size(2), x.size(3)});
  TORCH_CHECK_VALUE(grad.is_contiguous(at::MemoryFormat::ChannelsLast), "grad must be contiguous with the channels last, got strides ",
                    grad.strides(), " of ", grad.sizes());
  at::Tensor of_x = by_x ? like_images(x, in, true) : at::empty({0}, x.options());
  at::Tensor of_points = by_points ? at::zeros_like(points) : at::empty({0}, x.options());
  const at::Tensor turned = points.transpose(1, 2);
  const at::Tensor given = block_for(most, in, x), made = block_for(most, out, x);
  for (int64_t begin = 0; begin < all; begin += kTiles) {
    const int64_t n = std::min(kTiles, all - begin);
    at::Tensor inputs = block_of(given, n, in);
    const at::Tensor grads = block_of(made, n, out);
    to_points<FromPointsAdjoint>(images, out, begin, n, grad.const_data_ptr<float>(), made.data_ptr<float>());
    if (by_points) {
      to_points<ToPoints>(images, in, begin, n, x.const_data_ptr<float>(), given.data_ptr<float>());
      of_points.baddbmm_(inputs.transpose(1, 2), grads);
    }
    if (by_x) {
      at::bmm_out(inputs, grads, turned);
      from_points<ToPointsAdjoint>(images, in, begin, n, given.const_data_ptr<float>(), of_x.data_ptr<float>());
    }
  }
  return {of_x, of_points};
}

}  // namespace

TORCH_LIBRARY_IMPL(spikeseq, CPU, m) {
  m.impl("conv3x3", &conv3x3);
  m.impl("conv3x3_backward", &conv3x3_backward);
}

}  // namespace spikeseq
