# The base that tools/image_build.py --local-base makes of this machine's own Debian, where no registry
# of images can be reached; the build context is the folder with root.tar (tools/debian_base.py).
FROM scratch
ADD root.tar /
CMD ["python3"]
